// Which part of the plane a canvas shows.

export class Camera {
  constructor() {
    this.x = 0;
    this.y = 0;
    this.scale = 1;
    this.width = 1;
    this.height = 1;
    this.touched = false;
  }

  resize(width, height) {
    this.width = width;
    this.height = height;
  }

  /** Shows all of `places`, [x, y] pairs. */
  fit(places) {
    let [left, right, low, high] = [Infinity, -Infinity, Infinity, -Infinity];
    for (const [x, y] of places) {
      left = Math.min(left, x);
      right = Math.max(right, x);
      low = Math.min(low, y);
      high = Math.max(high, y);
    }
    if (left > right) return;
    this.x = (left + right) / 2;
    this.y = (low + high) / 2;
    const room = 28;
    this.scale = Math.min(
      (this.width - 2 * room) / (right - left || 1),
      (this.height - 2 * room) / (high - low || 1),
    );
    this.scale = Math.max(this.scale, 1e-6);
    this.touched = false;
  }

  toScreen([x, y]) {
    return [this.width / 2 + (x - this.x) * this.scale, this.height / 2 - (y - this.y) * this.scale];
  }

  move(dx, dy) {
    this.x -= dx / this.scale;
    this.y += dy / this.scale;
    this.touched = true;
  }

  /** Zooms by a factor around a place of the screen, by default its middle. */
  zoom(factor, left = this.width / 2, top = this.height / 2) {
    const before = [(left - this.width / 2) / this.scale, (this.height / 2 - top) / this.scale];
    this.scale = Math.min(Math.max(this.scale * factor, 1e-6), 1e9);
    const after = [(left - this.width / 2) / this.scale, (this.height / 2 - top) / this.scale];
    this.x += before[0] - after[0];
    this.y += before[1] - after[1];
    this.touched = true;
  }
}
