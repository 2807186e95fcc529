#!/bin/sh
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
# Golden flame graphs are XML, load nothing from elsewhere, and zoom and search in a real browser.
set -u
cd "$(dirname "$0")/../.." || exit 1
golden=tests/data/golden
n=0
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT

result() { # ok|not ok, description
	n=$((n + 1))
	echo "$1 $n - $2"
}

for svg in "$golden"/*.svg; do
	name="$(basename "$svg") is well-formed"
	if ! command -v xmllint >/dev/null; then
		result ok "$name # SKIP no xmllint"
	elif xmllint --noout --nonet "$svg" 2>"$tmp/err"; then
		result ok "$name"
	else
		result 'not ok' "$name"
		sed 's/^/# /' "$tmp/err"
	fi
	name="$(basename "$svg") refers to nothing outside"
	links=$(grep -Eo "(href|src|url\\(|@import|https?:)[^ \"']*" "$svg" |
		grep -vx -e 'http://www.w3.org/2000/svg' -e 'http://www.w3.org/1999/xhtml')
	if [ -z "$links" ]; then
		result ok "$name"
	else
		result 'not ok' "$name"
		echo "$links" | sed 's/^/# /'
	fi
done

browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome)
if [ -z "$browser" ]; then
	result ok 'flame graph in a browser # SKIP no chromium'
	echo "1..$n"
	exit 0
fi

browse() { # SVG: what its document is once scripts have run
	timeout 60 "$browser" --headless --enable-logging=stderr --no-sandbox --disable-gpu --disable-background-networking \
		--user-data-dir="$tmp/profile" --window-size=1100,700 --virtual-time-budget=2000 \
		--dump-dom "file://$1" 2>"$tmp/err" </dev/null
}

with_script() { # SVG SCRIPT: the SVG with one more script at its end
	sed '/^<\/svg>$/d' "$1"
	echo '<script><![CDATA['
	cat "$2"
	echo ']]></script></svg>'
}

with_script "$golden/flamegraph.svg" tests/cli/flamegraph_driver.js >"$tmp/driven.svg"
browse "$tmp/driven.svg" >"$tmp/dom"
if ! grep -q '^end$' "$tmp/dom"; then
	result 'not ok' 'the browser ran the whole test'
	tail -5 "$tmp/err" | sed 's/^/# /'
fi
while IFS= read -r line; do
	case $line in
	'ok - '*) result ok "${line#ok - }" ;;
	'not ok - '*) result 'not ok' "${line#not ok - }" ;;
	*) echo "$line" ;;
	esac
done <<EOT
$(sed -n '/id="tap"/,/^end$/{/^ok - /p;/^not ok - /p;/^# /p}' "$tmp/dom")
EOT

# A script in a name would say so in the title of the document or in an element of its own.
for name in flamegraph_hostile flamegraph_empty; do
	echo 'document.documentElement.setAttribute("data-scripts", document.querySelectorAll("script").length);' \
		>"$tmp/count.js"
	with_script "$golden/$name.svg" "$tmp/count.js" >"$tmp/$name.svg"
	if browse "$tmp/$name.svg" | grep -q 'data-scripts="2"' && ! grep -q 'Uncaught' "$tmp/err"; then
		result ok "$name runs its own script only, without an error"
	else
		result 'not ok' "$name runs its own script only, without an error"
		tail -5 "$tmp/err" | sed 's/^/# /'
	fi
done
echo "1..$n"
