/*
 * Zoom, search and tooltip of a flame graph. Reads only attributes and text of the document and writes only attributes
 * and text, so no name can become code. Each frame is <g class="f" data-o data-b data-d data-l>: offset and width in
 * bytes, depth, label; its <title> is "full name\nfigures". Frames come depth first, from left to right.
 */
(function () {
	'use strict';
	var NS = 'http://www.w3.org/2000/svg';
	var XHTML = 'http://www.w3.org/1999/xhtml';
	var svg = document.currentScript ? document.currentScript.closest('svg') : document.documentElement;
	var details = svg.querySelector('.details');
	var matched = svg.querySelector('.matched');
	var bar = svg.querySelector('.bar');
	var height = Number(svg.getAttribute('height'));
	var idle = details.textContent;
	var charWidth = 7.2;
	var zoomed = null;
	var frames = Array.from(svg.querySelectorAll('.f'), function (g) {
		var title = g.querySelector('title').textContent;
		return {
			g: g,
			rect: g.querySelector('rect'),
			text: g.querySelector('text'),
			o: Number(g.dataset.o),
			b: Number(g.dataset.b),
			d: Number(g.dataset.d),
			label: Array.from(g.dataset.l),
			name: title.split('\n')[0],
			details: title.split('\n').join(' \u2014 '),
		};
	});
	var total = frames.length ? frames[0].b : 0;

	function element(ns, name, attributes, parent) {
		var e = document.createElementNS(ns, name);
		Object.keys(attributes).forEach(function (key) {
			e.setAttribute(key, attributes[key]);
		});
		parent.appendChild(e);
		return e;
	}

	function bytes(n) {
		var units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'], i = 0;
		while (n >= 1024 && i < units.length - 1) {
			n /= 1024;
			i++;
		}
		return n.toFixed(i ? 1 : 0) + ' ' + units[i];
	}

	function fit(frame, pixels) {
		var room = Math.floor((pixels - 7) / charWidth), used = 0, i;
		var label = frame.label;
		if (room < 3)
			return '';
		for (i = 0; i < label.length; i++) {
			used += label[i].codePointAt(0) >= 0x1100 ? 2 : 1;
			if (used > room)
				break;
		}
		return i === label.length ? label.join('') : label.slice(0, Math.max(i - 1, 0)).join('') + '\u2026';
	}

	function width() {
		return svg.getBoundingClientRect().width || 1200;
	}

	/* Places every frame for the zoom at hand: its callers as wide as the picture, its callees in their share. */
	function layout() {
		var z = zoomed || frames[0], pixels = width();
		frames.forEach(function (f) {
			var above = f.d < z.d && f.o <= z.o && f.o + f.b >= z.o + z.b;
			var below = f.d >= z.d && f.o >= z.o && f.o + f.b <= z.o + z.b;
			var x = above ? 0 : (f.o - z.o) / z.b, w = above ? 1 : f.b / z.b;
			f.g.classList.toggle('hide', !above && !below);
			f.g.classList.toggle('dim', above);
			if (!above && !below)
				return;
			f.rect.setAttribute('x', x * 100 + '%');
			f.rect.setAttribute('width', w * 100 + '%');
			f.text.setAttribute('x', x * 100 + '%');
			f.text.textContent = fit(f, w * pixels);
		});
		reset.classList.toggle('hide', !zoomed);
	}

	function zoom(frame) {
		zoomed = frame && frame !== frames[0] ? frame : null;
		if (frames.length)
			layout();
	}

	function search() {
		var text = input.value, pattern = null, sum = 0, end = -1;
		try {
			pattern = text ? new RegExp(text) : null;
			input.classList.remove('bad');
			matched.textContent = '';
		} catch (error) {
			input.classList.add('bad');
			matched.textContent = 'not a regular expression';
		}
		frames.forEach(function (f) {
			var hit = pattern !== null && pattern.test(f.name);
			f.g.classList.toggle('hit', hit);
			if (hit && f.o >= end) {
				sum += f.b;
				end = f.o + f.b;
			}
		});
		if (pattern)
			matched.textContent = 'matched ' + bytes(sum) + ', ' +
				(total ? sum / total * 100 : 0).toFixed(1) + ' %';
	}

	/* What stays at the edges of the window while a tall picture scrolls. */
	function place() {
		var w = width(), alone = svg === document.documentElement, top = 0, bottom = height;
		if (alone && window.innerHeight < height) {
			top = window.scrollY;
			bottom = Math.min(height, top + window.innerHeight);
		}
		bar.setAttribute('transform', 'translate(0,' + (bottom - height) + ')');
		box.setAttribute('x', Math.max(w - 250, 0));
		box.setAttribute('y', top + 12);
		reset.setAttribute('transform', 'translate(' + Math.max(w - 350, 0) + ',' + (top + 12) + ')');
		matched.setAttribute('x', w - 10);
	}

	function resize() {
		place();
		if (frames.length)
			layout();
	}

	/* Relative widths work without a script, too; with it the picture follows the window and text keeps its size. */
	svg.removeAttribute('viewBox');
	svg.setAttribute('width', '100%');
	var reset = element(NS, 'g', { 'class': 'button hide', id: 'reset' }, svg);
	element(NS, 'rect', { width: 90, height: 26, rx: 5 }, reset);
	element(NS, 'text', { x: 45, y: 17, 'text-anchor': 'middle' }, reset).textContent = 'reset zoom';
	var box = element(NS, 'foreignObject', { width: 240, height: 28 }, svg);
	var input = element(XHTML, 'input', { id: 'search', type: 'search', placeholder: 'search (regular expression)' }, box);
	var probe = element(NS, 'text', { visibility: 'hidden' }, svg);
	probe.textContent = 'mmmmmmmmmm';
	if (probe.getComputedTextLength() > 0)
		charWidth = probe.getComputedTextLength() / 10;
	svg.removeChild(probe);

	frames.forEach(function (f) {
		f.g.addEventListener('click', function () {
			zoom(f);
		});
		f.g.addEventListener('mouseover', function () {
			details.textContent = f.details;
		});
		f.g.addEventListener('mouseout', function () {
			details.textContent = idle;
		});
	});
	reset.addEventListener('click', function () {
		zoom(null);
	});
	input.addEventListener('input', search);
	window.addEventListener('keydown', function (event) {
		var typing = document.activeElement === input;
		if (((event.ctrlKey || event.metaKey) && event.key === 'f') || (event.key === '/' && !typing)) {
			event.preventDefault();
			input.focus();
			input.select();
		} else if (event.key === 'Escape' && (typing || (input.value && !zoomed))) {
			input.value = '';
			input.blur();
			search();
		} else if (event.key === 'Escape') {
			zoom(null);
		}
	});
	window.addEventListener('resize', resize);
	window.addEventListener('scroll', place);
	resize();
})();
