#!/bin/sh
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
# What tests/run makes of programs that pass, fail, skip and misbehave. In sh, so that it shares nothing with it.
here=$(cd "$(dirname "$0")/../.." && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
number=0

# check NAME BODY LAST-LINE EXIT [TEXT]: runs BODY (a sh program) under tests/run.
check() {
	number=$((number + 1))
	printf '#!/bin/sh\n%s\n' "$2" >"$dir/program"
	chmod +x "$dir/program"
	out=$("$here/tests/run" -t 1 "$dir/program" 2>&1)
	status=$?
	last=$(printf '%s\n' "$out" | tail -n 1)
	word=ok
	[ "$last" = "$3" ] && [ "$status" = "$4" ] || word='not ok'
	case $out in *"${5-}"*) ;; *) word='not ok' ;; esac
	echo "$word $number - $1"
	[ "$word" = ok ] || printf '%s\n' "exit $status, wanted $4 and: $3; with: ${5-}" "$out" | sed 's/^/# /'
}

echo 1..20
check 'a pass' 'echo 1..1; echo ok 1 - a' '1 passed, 0 failed, 0 skipped' 0
check 'the plan may come last' 'echo ok; echo ok - b; echo 1..2' '2 passed, 0 failed, 0 skipped' 0
check 'a failure and its diagnostics' 'echo 1..2; echo not ok 1 - a; echo "# why"; echo ok 2; exit 1' \
	'1 passed, 1 failed, 0 skipped' 1 '# why'
check 'stderr is shown with a failure' 'echo 1..1; echo not ok 1; echo words >&2' '0 passed, 1 failed, 0 skipped' 1 words
check 'a skip shows its reason' 'echo 1..2; echo ok 1; echo "ok 2 - b # SKIP no moon"' \
	'1 passed, 0 failed, 1 skipped' 0 'skip: b: no moon'
check 'a cmocka skip' 'echo 1..2; echo ok 1; echo "not ok 2 # SKIP b"' '1 passed, 0 failed, 1 skipped' 0 'skip: b'
check 'a program that skips everything, alone' 'echo "1..0 # SKIP no moon"' '0 passed, 0 failed, 1 skipped' 1 'no moon'
check 'no plan' 'echo ok 1' '1 passed, 1 failed, 0 skipped' 1 'no plan'
check 'no output' ':' '0 passed, 1 failed, 0 skipped' 1 'no plan'
check 'fewer tests than planned' 'echo 1..2; echo ok 1' '1 passed, 1 failed, 0 skipped' 1 'planned 2 tests, ran 1'
check 'two plans' 'echo 1..1; echo ok 1; echo 1..1' '1 passed, 1 failed, 0 skipped' 1 'two plans'
check 'bail out' 'echo 1..1; echo "Bail out! broken"; echo ok 1' '0 passed, 1 failed, 0 skipped' 1 'Bail out! broken'
check 'non-zero exit without a failing line' 'echo 1..1; echo ok 1; exit 3' '1 passed, 1 failed, 0 skipped' 1 'exit status 3'
check 'a signal' 'echo 1..1; echo ok 1; kill -SEGV $$' '1 passed, 1 failed, 0 skipped' 1 'killed by SIGSEGV'
check 'past the limit' 'echo 1..1; echo ok 1; exec sleep 60' '1 passed, 1 failed, 0 skipped' 1 'still running after 1 s'
check 'a child it leaves behind is ended' "sleep 60 & echo \$! >$dir/child; echo 1..1; echo ok 1" \
	'1 passed, 0 failed, 0 skipped' 0

number=$((number + 1))
# A killed orphan may be a zombie until init reaps it.
if [ ! -e "/proc/$(cat "$dir/child")" ] || grep -q '^State:.Z' "/proc/$(cat "$dir/child")/status" 2>/dev/null; then
	echo "ok $number - and really is"
else
	echo "not ok $number - and really is"
fi

# ends NAME LAST-LINE ARGUMENT...: what tests/run says last of several programs, or none.
ends() {
	number=$((number + 1))
	name=$1 wanted=$2
	shift 2
	out=$("$here/tests/run" "$@" 2>&1 | tail -n 1)
	[ "$out" = "$wanted" ] && echo "ok $number - $name" || echo "not ok $number - $name: $out"
}

ends 'a missing program' '0 passed, 1 failed, 0 skipped' "$dir/missing"

# Each waits for the other to have begun.
for i in 1 2; do
	cat >"$dir/beside$i" <<-EOF
		#!/bin/sh
		: >$dir/begun$i
		while [ ! -e $dir/begun$((3 - i)) ]; do sleep 0.01; done
		echo 1..1; echo ok 1; echo ok 1 >>$dir/ends
	EOF
done
printf '#!/bin/sh\n[ "$(grep -c ok %s)" = 2 ] && echo 1..1 && echo ok 1\n' "$dir/ends" >"$dir/after"
chmod +x "$dir"/beside? "$dir/after"
ends 'one after the other' '1 passed, 2 failed, 0 skipped' -t 1 "$dir/beside1" "$dir/beside2"
rm -f "$dir"/begun* "$dir/ends"
ends 'together, then alone' '3 passed, 0 failed, 0 skipped' -t 10 --together "$dir/beside1" "$dir/beside2" -- "$dir/after"
