"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
const canvas = at("map"), pen = canvas.getContext("2d"), tip = at("tip"), list = at("list");
const dark = matchMedia("(prefers-color-scheme: dark)");
const lower = data.sentences.map((text) => text.toLowerCase());
const SHADES = [[13, 8, 135], [126, 3, 168], [204, 71, 120], [248, 149, 64], [252, 206, 37]];
const view = { x: 0, y: 0, scale: 1, fitted: 1, touched: false };
let coloring = data.colors[data.color], hidden = new Set(), found = null, chosen = -1, under = -1;

at("title").textContent = data.title;
at("about").textContent = data.about;
data.colors.forEach((one, index) => at("color").add(new Option(one.title, index)));
at("color").value = data.color;

function shade(share) {
  // Blue is too dark on black, yellow too pale on white: each page leaves out one end.
  const place = Math.min(1, Math.max(0, share)) * 3.3 + (dark.matches ? 0.7 : 0), low = Math.min(3, Math.floor(place));
  const mixed = SHADES[low].map((part, i) => Math.round(part + (place - low) * (SHADES[low + 1][i] - part)));
  return `rgb(${mixed.join(",")})`;
}

const paint = (hex) => (dark.matches && hex === "#000000" ? "#ffffff" : hex);

function colorOf(i) {
  const value = coloring.of[i];
  if (coloring.values) return paint(coloring.palette[value]);
  return value === null ? "#999999" : shade((value - coloring.low) / (coloring.high - coloring.low));
}

const shown = (i) => !(coloring.values && hidden.has(coloring.of[i]));
const hit = (i) => shown(i) && (found === null || found.has(i));

function fit() {
  const seen = data.points.map((_, i) => i).filter(shown), xs = seen.map((i) => data.points[i][0]);
  const ys = seen.map((i) => data.points[i][1]);
  const ends = (values) => values.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [Infinity, -Infinity]);
  const [left, right] = xs.length ? ends(xs) : [0, 0], [low, high] = ys.length ? ends(ys) : [0, 0];
  const across = (canvas.clientWidth - 60) / Math.max(right - left, 1e-9);
  const up = (canvas.clientHeight - 60) / Math.max(high - low, 1e-9);
  view.scale = view.fitted = Math.max(1e-3, Math.min(across, up, 1e6));
  view.touched = false;
  view.x = (left + right) / 2;
  view.y = (low + high) / 2;
  draw();
}

const place = (i) => [
  canvas.clientWidth / 2 + (data.points[i][0] - view.x) * view.scale,
  canvas.clientHeight / 2 - (data.points[i][1] - view.y) * view.scale,
];

function dot(i, radius) {
  const [x, y] = place(i);
  pen.fillStyle = colorOf(i);
  pen.beginPath();
  pen.arc(x, y, radius, 0, 2 * Math.PI);
  pen.fill();
}

function draw() {
  const ratio = devicePixelRatio || 1, radius = data.points.length > 2000 ? 2.2 : 3.2;
  canvas.width = Math.round(canvas.clientWidth * ratio);
  canvas.height = Math.round(canvas.clientHeight * ratio);
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.globalAlpha = found === null ? 0.85 : 0.12;
  data.points.forEach((_, i) => { if (shown(i) && !(found !== null && found.has(i))) dot(i, radius); });
  pen.globalAlpha = 1;
  if (found !== null) found.forEach((i) => { if (shown(i)) dot(i, radius + 1); });
  for (const i of [under, chosen]) {
    if (i < 0) continue;
    dot(i, radius + 2);
    pen.strokeStyle = getComputedStyle(document.body).color;
    pen.lineWidth = 2;
    pen.stroke();
  }
}

function bdi(text) {
  // Its own element: a text that runs from right to left leaves the order of what stands beside it.
  const made = document.createElement("bdi");
  made.textContent = text;
  return made;
}

function swatch(background) {
  const made = document.createElement("span");
  made.className = "swatch";
  made.style.background = background;
  return made;
}

function legend() {
  const box = at("legend");
  box.replaceChildren();
  if (!coloring.values) {
    const [low, high] = [coloring.low, coloring.high].map((size) => String(Math.round(size * 100) / 100));
    box.append(low, swatch(`linear-gradient(to right, ${SHADES.map((_, i) => shade(i / 4)).join(",")})`), high);
    box.firstElementChild.className = "swatch strip";
    return;
  }
  const counts = coloring.values.map(() => 0);
  coloring.of.forEach((value) => counts[value]++);
  coloring.values.forEach((name, value) => {
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-pressed", String(!hidden.has(value)));
    button.append(swatch(paint(coloring.palette[value])), bdi(name), ` (${counts[value]})`);
    button.onclick = () => {
      if (!hidden.delete(value)) hidden.add(value);
      button.setAttribute("aria-pressed", String(!hidden.has(value)));
      fill();
    };
    box.append(button);
  });
}

function fill() {
  const words = at("search").value.trim().toLowerCase();
  found = words ? new Set(lower.flatMap((text, i) => (text.includes(words) ? [i] : []))) : null;
  const rows = document.createDocumentFragment();
  data.sentences.forEach((text, i) => {
    if (!hit(i)) return;
    const row = new Option(text, i);
    row.dir = "auto";
    rows.append(row);
  });
  list.replaceChildren(rows);
  at("count").textContent = `${list.length.toLocaleString("en")} of ${data.sentences.length.toLocaleString("en")} sentences`;
  choose(chosen >= 0 && hit(chosen) ? chosen : -1);
}

function choose(i) {
  chosen = i;
  list.value = String(i);
  at("chosen").replaceChildren();
  if (i >= 0) {
    const value = coloring.values ? coloring.values[coloring.of[i]] : coloring.of[i] ?? "none";
    at("chosen").append(bdi(data.sentences[i]), document.createElement("br"), bdi(`${coloring.title}: ${value}`));
  }
  draw();
}

function nearest(event) {
  const box = canvas.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
  let best = -1, least = 100;
  data.points.forEach((_, i) => {
    if (!hit(i)) return;
    const [px, py] = place(i), distance = (px - x) ** 2 + (py - y) ** 2;
    if (distance < least) [best, least] = [i, distance];
  });
  return best;
}

function move(dx, dy) {
  view.x -= dx / view.scale;
  view.y += dy / view.scale;
  view.touched = true;
}

function zoom(factor, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2) {
  // Far out all points are one; far in, the numbers of a screen end.
  factor = Math.min(Math.max(factor * view.scale, view.fitted / 100), view.fitted * 1e5) / view.scale;
  const dx = (x - canvas.clientWidth / 2) / view.scale, dy = (canvas.clientHeight / 2 - y) / view.scale;
  view.x += dx - dx / factor;
  view.y += dy - dy / factor;
  view.scale *= factor;
  view.touched = true;
  draw();
}

let drag = null;
canvas.onpointerdown = (event) => {
  drag = { x: event.clientX, y: event.clientY, moved: false };
  canvas.setPointerCapture(event.pointerId);
};
canvas.onpointerup = (event) => {
  if (drag && !drag.moved) choose(nearest(event));
  drag = null;
};
canvas.onpointercancel = () => { drag = null; };
canvas.onpointermove = (event) => {
  if (drag) {
    const dx = event.clientX - drag.x, dy = event.clientY - drag.y;
    if (!drag.moved && Math.hypot(dx, dy) < 4) return;
    move(dx, dy);
    drag = { x: event.clientX, y: event.clientY, moved: true };
    under = -1;
  } else {
    under = nearest(event);
  }
  tip.hidden = under < 0;
  if (under >= 0) {
    const [x, y] = place(under);
    tip.textContent = data.sentences[under];
    tip.style.left = `${Math.max(0, Math.min(x + 12, canvas.clientWidth - tip.offsetWidth - 8))}px`;
    tip.style.top = `${Math.max(0, y > canvas.clientHeight / 2 ? y - tip.offsetHeight - 12 : y + 12)}px`;
  }
  draw();
};
canvas.onpointerleave = () => { under = -1; tip.hidden = true; draw(); };
canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  const box = canvas.getBoundingClientRect();
  zoom(Math.exp(-event.deltaY / 500), event.clientX - box.left, event.clientY - box.top);
}, { passive: false });
const keys = {
  ArrowLeft: () => move(40, 0),
  ArrowRight: () => move(-40, 0),
  ArrowUp: () => move(0, 40),
  ArrowDown: () => move(0, -40),
  "+": () => zoom(1.25),
  "=": () => zoom(1.25),
  "-": () => zoom(0.8),
  0: fit,
};
canvas.onkeydown = (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) return;
  event.preventDefault();
  keys[event.key]();
  draw();
};
at("in").onclick = () => zoom(1.5);
at("out").onclick = () => zoom(1 / 1.5);
at("all").onclick = fit;
at("color").onchange = () => { coloring = data.colors[Number(at("color").value)]; hidden = new Set(); legend(); fill(); };
at("search").oninput = fill;
list.onchange = () => {
  const i = Number(list.value), [x, y] = place(i);
  if (x < 0 || y < 0 || x > canvas.clientWidth || y > canvas.clientHeight) {
    [view.x, view.y] = data.points[i];
    view.touched = true;
  }
  choose(i);
};
dark.onchange = () => { legend(); draw(); };
onresize = () => (view.touched ? draw() : fit());
legend();
fill();
fit();
