// Thousands of points as pixels: written one by one, which takes a millisecond where drawing circles takes fifty.

/** The red, green and blue of `#rrggbb` or `rgb(r g b)`. */
function channels(color) {
  if (color.startsWith("#")) return [1, 3, 5].map((start) => parseInt(color.slice(start, start + 2), 16));
  return color.match(/\d+/g).slice(0, 3).map(Number);
}

/** The pixels of a disc around a centre: offsets x, y, and how much of each pixel is covered, 0 to 1. */
function disc(radius) {
  const found = [];
  const reach = Math.ceil(radius + 0.5);
  for (let y = -reach; y <= reach; y++) {
    for (let x = -reach; x <= reach; x++) {
      const cover = Math.min(1, radius + 0.5 - Math.hypot(x, y));
      if (cover > 0.05) found.push([x, y, cover]);
    }
  }
  return [0, 1, 2].map((column) => Float32Array.from(found, (row) => row[column]));
}

export class PointLayer {
  constructor(context) {
    this.context = context;
    this.image = null;
  }

  /** Begins a picture of `width` x `height` pixels, with discs of `radius` pixels. */
  begin(width, height, radius) {
    if (this.image?.width !== width || this.image.height !== height) {
      this.image = this.context.createImageData(width, height);
    } else this.image.data.fill(0);
    if (this.radius !== radius) {
      this.radius = radius;
      this.disc = disc(radius);
    }
    this.reach = Math.ceil(radius + 0.5);
  }

  colors(colors) {
    this.palette = colors.map(channels);
  }

  /** A point at a pixel, in a colour of the palette. */
  stamp(left, top, color, opacity) {
    const { width, height, data } = this.image;
    const [x, y] = [Math.round(left), Math.round(top)];
    const channel = this.palette[color];
    const { reach } = this;
    if (!channel || x < reach || y < reach || x >= width - reach || y >= height - reach) return;
    const [red, green, blue] = channel;
    const [across, down, covers] = this.disc;
    const middle = y * width + x;
    for (let pixel = 0; pixel < covers.length; pixel++) {
      const at = (middle + down[pixel] * width + across[pixel]) * 4;
      const share = covers[pixel] * opacity;
      const below = data[at + 3] / 255;
      const sum = share + below * (1 - share);
      const own = share / sum;
      data[at] += (red - data[at]) * own;
      data[at + 1] += (green - data[at + 1]) * own;
      data[at + 2] += (blue - data[at + 2]) * own;
      data[at + 3] = 255 * sum;
    }
  }

  /** Puts the picture onto the canvas, in place of what is there. */
  end() {
    this.context.putImageData(this.image, 0, 0);
  }
}
