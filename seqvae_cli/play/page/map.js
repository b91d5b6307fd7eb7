// The map: points on a canvas, with what the open tool draws above them.

import { Camera } from "./camera.js";
import { byId } from "./dom.js";
import { PointLayer } from "./points.js";

const MOVING = 700;
const NEAR = 14;
/** More would take longer than a frame; a screen of high resolution shows a large map a little softer. */
const MOST_PIXELS = 2e6;
const calm = matchMedia("(prefers-reduced-motion: reduce)");

export class SentenceMap {
  /** `onhover` and `onchoose` are told the index of a point; -1: of none. */
  constructor(canvas, { onhover, onchoose }) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.camera = new Camera();
    this.places = [];
    this.from = null;
    this.coloring = { of: [], colors: [] };
    this.found = null;
    this.hovered = -1;
    this.overlay = { lines: [], marks: [] };
    this.onhover = onhover;
    this.onchoose = onchoose;
    this.layer = new PointLayer(this.context);
    this.drawn = false;
    this.listen();
    new ResizeObserver(() => this.resize()).observe(canvas);
    addEventListener("themechange", () => this.redraw());
  }

  resize() {
    const { width, height } = this.canvas.getBoundingClientRect();
    if (!width || !height) return;
    this.ratio = Math.max(1, Math.min(devicePixelRatio || 1, 2, Math.sqrt(MOST_PIXELS / (width * height))));
    this.canvas.width = Math.round(width * this.ratio);
    this.canvas.height = Math.round(height * this.ratio);
    this.camera.resize(width, height);
    if (!this.camera.touched && this.places.length) this.camera.fit(this.places);
    this.redraw();
  }

  /** Shows points at `places`; they move there from where they were. */
  show(places) {
    const moving = places.length > 0 && this.places.length === places.length && !calm.matches;
    this.from = null;
    if (moving) {
      const before = new Camera();
      Object.assign(before, this.camera);
      const fitted = new Camera();
      fitted.resize(this.camera.width, this.camera.height);
      fitted.fit(places);
      // Where each point was on the screen, in the plane of the new places.
      this.from = this.places.map((place) => {
        const [left, top] = before.toScreen(place);
        return [
          fitted.x + (left - fitted.width / 2) / fitted.scale,
          fitted.y - (top - fitted.height / 2) / fitted.scale,
        ];
      });
      this.started = performance.now();
    }
    this.places = places;
    this.camera.fit(places);
    this.redraw();
  }

  color(coloring) {
    this.coloring = coloring;
    this.layer.colors(coloring.colors);
    this.redraw();
  }

  /** Highlights the points of a set of indices; null: all are alike. */
  highlight(found) {
    this.found = found;
    this.redraw();
  }

  hover(index) {
    if (this.hovered === index) return;
    this.hovered = index;
    this.redraw();
  }

  /** `lines`: lists of the places of a path; `marks`: {at, text, strong}. */
  draw(overlay) {
    this.overlay = { lines: overlay.lines ?? [], marks: overlay.marks ?? [] };
    this.redraw();
  }

  radius() {
    const base = this.places.length > 2500 ? 2.2 : this.places.length > 800 ? 2.8 : 4;
    return base * Math.min(1.5, Math.max(1, this.camera.width / 900));
  }

  redraw() {
    if (this.drawn) return;
    this.drawn = true;
    requestAnimationFrame(() => {
      this.drawn = false;
      this.paint();
    });
  }

  paint() {
    const { camera, context, layer } = this;
    const ratio = this.ratio || 1;
    let share = 1;
    if (this.from) {
      share = Math.min(1, (performance.now() - this.started) / MOVING);
      if (share === 1) this.from = null;
      else this.redraw();
    }
    const eased = share * share * (3 - 2 * share);
    layer.begin(this.canvas.width, this.canvas.height, this.radius() * ratio);
    for (const bright of this.found ? [false, true] : [true]) {
      for (let index = 0; index < this.places.length; index++) {
        if (this.found && this.found.has(index) !== bright) continue;
        let place = this.places[index];
        if (this.from) {
          const from = this.from[index];
          place = [from[0] + (place[0] - from[0]) * eased, from[1] + (place[1] - from[1]) * eased];
        }
        const [left, top] = camera.toScreen(place);
        layer.stamp(left * ratio, top * ratio, this.coloring.of[index], bright ? 0.85 : 0.15);
      }
    }
    layer.end();
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.paintOverlay();
  }

  paintOverlay() {
    const { context, camera } = this;
    const style = getComputedStyle(this.canvas);
    const [text, back, accent] = ["--text", "--surface", "--accent"].map((name) => style.getPropertyValue(name).trim());
    if (this.hovered >= 0 && this.places[this.hovered]) {
      const [left, top] = camera.toScreen(this.places[this.hovered]);
      this.ring(left, top, this.radius() + 4, text, 2);
    }
    for (const places of this.overlay.lines) {
      const line = places.map((place) => camera.toScreen(place));
      for (const [width, color] of [[5, back], [2.5, accent]]) {
        context.beginPath();
        line.forEach(([left, top], index) => (index ? context.lineTo(left, top) : context.moveTo(left, top)));
        context.lineWidth = width;
        context.lineJoin = "round";
        context.strokeStyle = color;
        context.stroke();
      }
      for (const [left, top] of line) this.dot(left, top, 3.5, accent, back);
    }
    context.font = `600 13px ${style.fontFamily}`;
    context.textBaseline = "middle";
    for (const mark of this.overlay.marks) {
      if (!mark.at) continue;
      const [left, top] = camera.toScreen(mark.at);
      this.dot(left, top, mark.strong ? 8 : 6, mark.strong ? accent : text, back);
      if (!mark.text) continue;
      const width = context.measureText(mark.text).width;
      const start = left + 12 + width > camera.width ? left - 12 - width : left + 12;
      context.lineWidth = 4;
      context.strokeStyle = back;
      context.strokeText(mark.text, start, top);
      context.fillStyle = text;
      context.fillText(mark.text, start, top);
    }
  }

  ring(left, top, radius, color, width) {
    const { context } = this;
    context.beginPath();
    context.arc(left, top, radius, 0, 2 * Math.PI);
    context.lineWidth = width;
    context.strokeStyle = color;
    context.stroke();
  }

  dot(left, top, radius, color, edge) {
    const { context } = this;
    context.beginPath();
    context.arc(left, top, radius, 0, 2 * Math.PI);
    context.fillStyle = color;
    context.fill();
    context.lineWidth = 2;
    context.strokeStyle = edge;
    context.stroke();
  }

  /** The index of the point nearest to a place of the screen; -1 where none is near. */
  nearest(left, top) {
    let [best, least] = [-1, NEAR * NEAR];
    for (let index = 0; index < this.places.length; index++) {
      if (this.found && this.found.size && !this.found.has(index)) continue;
      const [x, y] = this.camera.toScreen(this.places[index]);
      const distance = (x - left) ** 2 + (y - top) ** 2;
      if (distance < least) [best, least] = [index, distance];
    }
    return best;
  }

  listen() {
    const { canvas, camera } = this;
    const pointers = new Map();
    let travelled = 0;
    const local = (event) => {
      const box = canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      canvas.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, local(event));
      if (pointers.size === 1) travelled = 0;
    });
    canvas.addEventListener("pointermove", (event) => {
      const now = local(event);
      const before = pointers.get(event.pointerId);
      if (!before) {
        const index = this.nearest(...now);
        this.hover(index);
        this.onhover(index, now);
        return;
      }
      const others = [...pointers].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
      if (others.length) {
        const apart = (place) => Math.hypot(place[0] - others[0][0], place[1] - others[0][1]) || 1;
        camera.zoom(apart(now) / apart(before), (now[0] + others[0][0]) / 2, (now[1] + others[0][1]) / 2);
        travelled = Infinity;
      } else {
        camera.move(now[0] - before[0], now[1] - before[1]);
        travelled += Math.hypot(now[0] - before[0], now[1] - before[1]);
      }
      pointers.set(event.pointerId, now);
      this.redraw();
    });
    const lift = (event) => {
      if (!pointers.delete(event.pointerId) || event.type !== "pointerup" || travelled > 4) return;
      const index = this.nearest(...local(event));
      if (index >= 0) this.onchoose(index);
    };
    canvas.addEventListener("pointerup", lift);
    canvas.addEventListener("pointercancel", lift);
    canvas.addEventListener("pointerleave", () => {
      this.hover(-1);
      this.onhover(-1);
    });
    canvas.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        camera.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), ...local(event));
        this.redraw();
      },
      { passive: false },
    );
    const keys = {
      ArrowLeft: () => camera.move(40, 0),
      ArrowRight: () => camera.move(-40, 0),
      ArrowUp: () => camera.move(0, 40),
      ArrowDown: () => camera.move(0, -40),
      "+": () => camera.zoom(1.25),
      "=": () => camera.zoom(1.25),
      "-": () => camera.zoom(0.8),
      0: () => camera.fit(this.places),
    };
    const press = (key) => {
      keys[key]();
      this.redraw();
    };
    canvas.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) return;
      event.preventDefault();
      press(event.key);
    });
    byId("zoom-in").addEventListener("click", () => press("+"));
    byId("zoom-out").addEventListener("click", () => press("-"));
    byId("zoom-all").addEventListener("click", () => press("0"));
  }
}
