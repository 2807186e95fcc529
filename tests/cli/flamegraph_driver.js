/*
 * Uses the golden flame graph (tests/data/golden/flamegraph.svg) as a person would and writes TAP lines into the document,
 * from where tests/cli/flamegraph.t reads them. What must be there is known from sample_profile() in tests/unit.
 */
(function () {
	'use strict';
	var MIB = 1024 * 1024;
	var svg = document.documentElement;
	var out = document.createElementNS('http://www.w3.org/2000/svg', 'desc');
	out.id = 'tap';
	svg.appendChild(out);

	function frames() {
		return Array.from(svg.querySelectorAll('.f'));
	}
	function named(start, depth) {
		return frames().filter(function (g) {
			return g.querySelector('title').textContent.startsWith(start) &&
				(depth === undefined || Number(g.dataset.d) === depth);
		});
	}
	function hidden(g) {
		return getComputedStyle(g).display === 'none';
	}
	function share(g) {
		return g.querySelector('rect').getBoundingClientRect().width / svg.getBoundingClientRect().width;
	}
	function left(g) {
		return g.querySelector('rect').getBoundingClientRect().left / svg.getBoundingClientRect().width;
	}
	function click(e) {
		e.dispatchEvent(new MouseEvent('click', { bubbles: true }));
	}
	function press(key, ctrl) {
		var event = new KeyboardEvent('keydown', { key: key, ctrlKey: !!ctrl, bubbles: true, cancelable: true });
		window.dispatchEvent(event);
		return event;
	}
	function type(text) {
		var input = document.getElementById('search');
		input.value = text;
		input.dispatchEvent(new Event('input', { bubbles: true }));
	}
	function hits() {
		return svg.querySelectorAll('.f.hit').length;
	}
	function matched() {
		return svg.querySelector('.matched').textContent;
	}
	function near(a, b) {
		return Math.abs(a - b) < 0.002;
	}
	function test(name, fn) {
		var result;
		try {
			result = fn();
		} catch (error) {
			result = String(error);
		}
		out.textContent += '\n' + (result === true ? 'ok - ' : 'not ok - ') + name +
			(result === true ? '' : '\n# ' + JSON.stringify(result)) + '\n';
	}

	var web = named('web\n')[0], leaky = named('leaky\n')[0], all = named('all\n')[0];
	var reset = document.getElementById('reset');

	test('the whole is as wide as the window, a container in its share', function () {
		return (near(share(all), 1) && near(share(leaky), 115.5 / 147.5) && near(left(web), 115.5 / 147.5)) ||
			[share(all), share(leaky), left(web)];
	});
	test('the details line tells of the frame below the mouse', function () {
		leaky.dispatchEvent(new MouseEvent('mouseover', { bubbles: true }));
		var text = svg.querySelector('.details').textContent;
		leaky.dispatchEvent(new MouseEvent('mouseout', { bubbles: true }));
		return (text.includes('leaky') && text.includes('121,110,528 bytes') &&
			text.includes('201.0 MiB of 256.0 MiB (78.5 %)') &&
			!svg.querySelector('.details').textContent.includes('leaky')) || text;
	});
	test('a click zooms: callers dimmed and full, siblings gone, callees in their share', function () {
		click(web);
		var leaf = named('remember', 7).filter(function (g) { return !hidden(g); });
		return (near(share(web), 1) && near(left(web), 0) && near(share(all), 1) && all.classList.contains('dim') &&
			hidden(leaky) && leaf.length === 1 && near(share(leaf[0]), 30 / 32) && !hidden(reset)) ||
			[share(web), leaf.length, hidden(leaky)];
	});
	test('zooming gives labels the room they have now', function () {
		var reason = named('[no python stack')[0];
		click(reason);
		return reason.querySelector('text').textContent === '[no python stack: thread not known to Python]' ||
			reason.querySelector('text').textContent;
	});
	test('the button goes back to the whole', function () {
		click(reset);
		return (!hidden(leaky) && near(share(web), 32 / 147.5) && hidden(reset) &&
			!all.classList.contains('dim')) || share(web);
	});
	test('Escape goes back to the whole', function () {
		click(web);
		press('Escape');
		return (!hidden(leaky) && hidden(reset)) || share(web);
	});
	test('Ctrl-F and / go to the search box instead of the browser', function () {
		var ctrl = press('f', true).defaultPrevented, first = document.activeElement.id;
		document.activeElement.blur();
		var slash = press('/').defaultPrevented;
		return (ctrl && slash && first === 'search' && document.activeElement.id === 'search') || [ctrl, slash];
	});
	test('a search marks what matches and counts nested matches once', function () {
		type('Tree\\.walk|remember');
		var want = ((114 + 1 + 30) * MIB / (147.5 * MIB) * 100).toFixed(1);
		return (hits() === 12 && matched() === 'matched 145.0 MiB, ' + want + ' %') || [hits(), matched()];
	});
	test('a search matches the path, which the label does not show', function () {
		type('^remember \\(/srv/app/cache\\.py:42\\)$');
		return hits() === 3 || hits();
	});
	test('an expression that is none says so and marks nothing', function () {
		type('(');
		return (hits() === 0 && matched() === 'not a regular expression' &&
			document.getElementById('search').classList.contains('bad')) || [hits(), matched()];
	});
	test('and the next good one works', function () {
		type('_PyDict');
		return (hits() === 1 && !document.getElementById('search').classList.contains('bad')) || hits();
	});
	test('an expression that matches nothing is 0', function () {
		type('no such name');
		return matched() === 'matched 0 B, 0.0 %' || matched();
	});
	test('Escape in the box ends the search', function () {
		type('remember');
		document.getElementById('search').focus();
		press('Escape');
		return (hits() === 0 && matched() === '' && document.getElementById('search').value === '') || hits();
	});
	test('a resize keeps shares and fits labels anew', function () {
		svg.setAttribute('style', 'width: 400px');
		window.dispatchEvent(new Event('resize'));
		var text = named('gunicorn')[0].querySelector('text').textContent, width = share(web);
		svg.removeAttribute('style');
		window.dispatchEvent(new Event('resize'));
		return (near(width, 32 / 147.5) && text.endsWith('\u2026') && text.length < 14) || [width, text];
	});
	out.textContent += '\nend\n';
})();
