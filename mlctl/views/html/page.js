"use strict";
// Hover, click, keys, search, filter and zoom. Texts of the project are only ever set as text, never as markup.
const svg = document.querySelector("svg");
const panel = document.querySelector("aside");
const told = JSON.parse(document.getElementById("told").textContent);
const nodes = new Map([...document.querySelectorAll(".node")].map((node) => [node.dataset.address, node]));
const edges = [...document.querySelectorAll(".edge")];
const chips = [...document.querySelectorAll(".chip")];
const search = document.querySelector("input");
const count = document.querySelector("output");
const home = svg.getAttribute("viewBox").split(" ").map(Number);
const [wide, tall] = [Number(svg.dataset.wide), Number(svg.dataset.tall)]; // of a box
let view = [...home];
let chosen = null;

const linked = new Map([...nodes.keys()].map((address) => [address, { from: [], to: [] }]));
for (const edge of edges) {
  linked.get(edge.dataset.from).to.push(edge.dataset.to);
  linked.get(edge.dataset.to).from.push(edge.dataset.from);
}

function reach(address, way, found = new Set()) {
  const waiting = [address];
  while (waiting.length) {
    for (const other of linked.get(waiting.pop())[way]) {
      if (!found.has(other)) { found.add(other); waiting.push(other); }
    }
  }
  return found;
}

function light(address) {
  const near = address === null ? null : new Set([address, ...reach(address, "from"), ...reach(address, "to")]);
  for (const edge of edges) {
    const lit = near !== null && near.has(edge.dataset.from) && near.has(edge.dataset.to);
    edge.classList.toggle("lit", lit);
    edge.classList.toggle("faded", near !== null && !lit);
    edge.setAttribute("marker-end", lit ? "url(#arrow-lit)" : "url(#arrow)");
  }
  const wanted = matching();
  for (const [name, node] of nodes) {
    node.classList.toggle("faded", !wanted.has(name) || (near !== null && !near.has(name)));
  }
}

function matching() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const pressed = chips.filter((chip) => chip.getAttribute("aria-pressed") === "true").map((chip) => chip.dataset.status);
  const found = new Set();
  for (const name of nodes.keys()) {
    const text = told[name].text;
    if (words.every((word) => text.includes(word)) && (!pressed.length || pressed.includes(told[name].status))) found.add(name);
  }
  return found;
}

function sift() {
  const found = matching();
  const all = found.size === nodes.size;
  count.textContent = all ? "" : `${found.size} of ${nodes.size}`;
  light(chosen);
  return found;
}

function element(tag, text, parent) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (parent) parent.append(made);
  return made;
}

function list(title, pairs) {
  if (!pairs.length) return;
  element("h3", title, panel);
  const rows = element("dl", undefined, panel);
  for (const [name, value] of pairs) { element("dt", name, rows); element("dd", value, rows); }
}

function links(title, names) {
  if (!names.length) return;
  element("h3", title, panel);
  const rows = element("ul", undefined, panel);
  for (const name of [...new Set(names)].sort()) {
    const link = element("a", name, element("li", undefined, rows));
    link.href = "#";
    link.addEventListener("click", (event) => { event.preventDefault(); choose(name, true); });
  }
}

function choose(address, focus) {
  if (chosen !== null) nodes.get(chosen).classList.remove("chosen");
  chosen = address;
  panel.replaceChildren();
  panel.hidden = address === null;
  if (address !== null) {
    const what = told[address];
    nodes.get(address).classList.add("chosen");
    const close = element("button", "×", panel);
    close.className = "close";
    close.setAttribute("aria-label", "Close");
    close.addEventListener("click", () => choose(null));
    element("h2", address, panel);
    const state = element("p", what.status, panel);
    state.className = `state ${what.tone}`;
    for (const [title, pairs] of what.lists) list(title, pairs);
    links("Made with", linked.get(address).from);
    links("Used by", linked.get(address).to);
    if (focus) { nodes.get(address).focus({ preventScroll: true }); show(address); }
  }
  history.replaceState(null, "", address === null ? " " : `#${encodeURIComponent(address)}`);
  light(chosen);
}

function show(address) {
  const at = nodes.get(address).dataset;
  const [x, y] = [Number(at.x), Number(at.y)];
  const margin = 40;
  if (x < view[0] || x + wide > view[0] + view[2] || y < view[1] || y + tall > view[1] + view[3]) {
    look([x + wide / 2 - view[2] / 2, y + tall / 2 - view[3] / 2, view[2], view[3]]);
  } else if (x + wide + margin > view[0] + view[2]) look([view[0] + margin, ...view.slice(1)]);
}

function look(next) { view = next; svg.setAttribute("viewBox", view.join(" ")); }

function zoom(factor, x = view[0] + view[2] / 2, y = view[1] + view[3] / 2) {
  const width = Math.min(Math.max(view[2] * factor, 150), home[2] * 4);
  const real = width / view[2];
  look([x - (x - view[0]) * real, y - (y - view[1]) * real, width, view[3] * real]);
}

function point(event) {
  const place = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  return [place.x, place.y];
}

for (const [address, node] of nodes) {
  node.addEventListener("click", () => choose(address));
  node.addEventListener("mouseenter", () => { if (chosen === null) light(address); });
  node.addEventListener("mouseleave", () => { if (chosen === null) light(null); });
  node.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: "from", ArrowRight: "to" }[event.key];
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); choose(address); }
    else if (way && linked.get(address)[way].length) {
      event.preventDefault();
      const next = [...linked.get(address)[way]].sort()[0];
      nodes.get(next).focus({ preventScroll: true });
      show(next);
    }
  });
  node.addEventListener("focus", () => show(address));
}

let drag = null;
svg.addEventListener("pointerdown", (event) => { if (!event.target.closest(".node")) { drag = [event.clientX, event.clientY, ...view]; svg.classList.add("dragging"); } });
window.addEventListener("pointermove", (event) => {
  if (!drag) return;
  const scale = 1 / svg.getScreenCTM().a;
  look([drag[2] - (event.clientX - drag[0]) * scale, drag[3] - (event.clientY - drag[1]) * scale, drag[4], drag[5]]);
});
window.addEventListener("pointerup", (event) => {
  if (drag && Math.abs(event.clientX - drag[0]) + Math.abs(event.clientY - drag[1]) < 3 && event.target === svg) choose(null);
  drag = null;
  svg.classList.remove("dragging");
});
svg.addEventListener("wheel", (event) => { event.preventDefault(); zoom(Math.exp(event.deltaY * 0.0015), ...point(event)); }, { passive: false });
document.querySelector("[data-zoom=in]").addEventListener("click", () => zoom(0.75));
document.querySelector("[data-zoom=out]").addEventListener("click", () => zoom(1.35));
document.querySelector("[data-zoom=all]").addEventListener("click", () => look([...home]));
for (const chip of chips) {
  chip.addEventListener("click", () => { chip.setAttribute("aria-pressed", String(chip.getAttribute("aria-pressed") !== "true")); sift(); });
}
search.addEventListener("input", sift);
search.addEventListener("keydown", (event) => { if (event.key === "Enter") { const [first] = sift(); if (first) choose(first, true); } });
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") { if (search.value) { search.value = ""; sift(); } choose(null); }
  else if (event.key === "/" && document.activeElement !== search) { event.preventDefault(); search.focus(); }
});

const asked = decodeURIComponent(location.hash.slice(1));
if (nodes.has(asked)) choose(asked, true);
