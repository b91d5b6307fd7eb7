// Learning curves as small SVG pictures.

const NAMESPACE = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [320, 150, 40, 8, 10, 22];

function draw(tag, attributes, text) {
  const element = document.createElementNS(NAMESPACE, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

const short = (value) => (Math.abs(value) >= 100 ? value.toFixed(0) : Math.abs(value) >= 10 ? value.toFixed(1) : value.toFixed(2));

/** The range of the later values and of `least`: the first epochs, often far above, may leave the picture. */
function range(series, least) {
  const values = series.flatMap(({ values }) => values.slice(Math.floor(values.length / 4))).filter((value) => value !== null);
  if (!values.length) return [0, 1];
  const [low, high] = [Math.min(...values, ...least), Math.max(...values, ...least)];
  const room = (high - low) * 0.08 || Math.abs(high) * 0.05 || 1;
  return least.length ? [low, high] : [low >= 0 ? Math.max(0, low - room) : low - room, high + room];
}

/**
 * A picture of `series`, {name, values}, over `epochs`. `best`: the epoch to mark; `least`: values that the axis holds.
 */
export function curve(title, epochs, series, best, least = []) {
  const [low, high] = range(series, least);
  const [start, end] = [epochs[0] ?? 0, epochs.at(-1) ?? 1];
  const x = (epoch) => LEFT + ((epoch - start) / (end - start || 1)) * (WIDTH - LEFT - RIGHT);
  const y = (value) => TOP + (1 - (value - low) / (high - low || 1)) * (HEIGHT - TOP - BOTTOM);
  const summary = series
    .map(({ name, values }) => `${name} ${values.at(-1) === null || !values.length ? "unknown" : short(values.at(-1))}`)
    .join(", ");
  const picture = draw("svg", {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    role: "img",
    "aria-label": `${title} over epochs ${start} to ${end}; at the end ${summary}`,
  });
  for (const value of [low, (low + high) / 2, high]) {
    picture.append(draw("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value) }));
    picture.append(draw("text", { x: LEFT - 5, y: y(value) + 3.5, "text-anchor": "end" }, short(value)));
  }
  for (const epoch of new Set([start, end])) {
    picture.append(draw("text", { x: x(epoch), y: HEIGHT - 6, "text-anchor": epoch === start ? "start" : "end" }, epoch));
  }
  picture.append(draw("text", { x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 6, "text-anchor": "middle" }, "epoch"));
  if (best) picture.append(draw("line", { class: "best", x1: x(best), x2: x(best), y1: TOP, y2: HEIGHT - BOTTOM }));
  const [width, height] = [WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM];
  // A picture in the picture cuts lines off at its edges.
  const inner = draw("svg", { x: LEFT, y: TOP - 2, width, height: height + 4, viewBox: `${LEFT} ${TOP - 2} ${width} ${height + 4}` });
  picture.append(inner);
  series.forEach(({ values }, index) => {
    const points = values
      .map((value, place) => (value === null ? null : `${x(epochs[place]).toFixed(1)},${y(value).toFixed(1)}`))
      .filter(Boolean);
    inner.append(draw("polyline", { class: `line${index}`, points: points.join(" ") }));
    if (points.length === 1) {
      const [left, top] = points[0].split(",");
      inner.append(draw("circle", { class: `line${index}`, cx: left, cy: top, r: 2.5 }));
    }
  });
  return picture;
}
