"use strict";
// What every part of the page uses: elements, numbers, and the state, which lives in the address.

const page = { content: null, state: null };

const DEFAULTS = {
  view: "board", board: "", sort: "", q: "", family: "", hide: "", weights: "", theme: "", cell: "", scale: "",
  floors: "", at: "", plot: "", show: "",
};

const byId = (id) => document.getElementById(id);

// Text goes in as text, never as markup: names come from strangers.
function el(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function svg(tag, attributes, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

function number(value) {
  const size = Math.abs(value);
  if (size > 0 && size < 0.0005) return value.toExponential(1).replace(/e([+-])(\d)$/, "e$10$2");
  return value.toFixed(size < 10 ? 3 : size < 100 ? 2 : size < 1000 ? 1 : 0);
}

function interval(low, high) {
  return low === null || high === null ? "" : `[${number(low)}, ${number(high)}]`;
}

function unfolded(list) {
  return Array.isArray(list) ? list : new Array(list.times).fill(list.all);
}

function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

// Ranks from 1; equals share the mean of their ranks.
function ranked(values) {
  const order = values.map((_, at) => at).sort((one, other) => values[one] - values[other]);
  const ranks = new Array(values.length);
  for (let from = 0; from < order.length; ) {
    let to = from;
    while (to < order.length && values[order[to]] === values[order[from]]) to += 1;
    for (let at = from; at < to; at += 1) ranks[order[at]] = (from + 1 + to) / 2;
    from = to;
  }
  return ranks;
}

function quoted(word) {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\"'\"'")}'`;
}

function say(text) {
  byId("said").textContent = text;
}

async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Pages opened from a file may not be given the clipboard: the old way works there.
    const area = el("textarea", { class: "away", "aria-hidden": "true" });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  say(`${what} copied`);
}

// ------------------------------------------------------------------------------------------------ state in the address

function readState() {
  const given = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  return Object.fromEntries(Object.entries(DEFAULTS).map(([name, value]) => [name, given[name] ?? value]));
}

function addressOf(state) {
  const said = Object.entries(state).filter(([name, value]) => String(value) !== DEFAULTS[name]);
  return `#${new URLSearchParams(said)}`;
}

// `turn`: a step that the back button should undo; typing in a field is none.
function go(change, turn = false) {
  Object.assign(page.state, change);
  history[turn ? "pushState" : "replaceState"](null, "", addressOf(page.state));
  draw();
}

function listed(text) {
  return text ? text.split("~") : [];
}

async function inflate(text) {
  const letters = atob(text);
  const bytes = new Uint8Array(letters.length);
  for (let at = 0; at < letters.length; at += 1) bytes[at] = letters.charCodeAt(at);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}
