// Colours of the points: by value of a label, or on a scale of numbers.

/**
 * For the values of a label. With normal and with colour-blind sight (protan, deutan, tritan; simulated after Machado et
 * al. 2009), any two differ by at least 25 (CIE76), and each has a contrast of 3 or more to its background.
 */
export const VALUES = {
  light: ["#004cdc", "#e55a00", "#14a972", "#8b2c95", "#761f00", "#ba82bb", "#000048", "#2c000d"],
  dark: ["#7b94ff", "#f38a30", "#3cf0b0", "#fdafe7", "#f5ee3c", "#8b35ff", "#d81148", "#c013aa"],
};
/** For the rest, and for sentences without a value. */
const OTHER = { light: "#9a9a9a", dark: "#6f7681" };
const SCALE = {
  light: ["#3b1c6b", "#31688e", "#1f9e89", "#6ab33f", "#d9a900"],
  dark: ["#7d5fd3", "#4a90c4", "#35c2a5", "#9fdd5f", "#fde725"],
};
export const SHADES = 24;

export function theme() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
}

const channels = (color) => [1, 3, 5].map((start) => parseInt(color.slice(start, start + 2), 16));

function ramp(share) {
  const stops = SCALE[theme()];
  const place = Math.min(Math.max(share, 0), 1) * (stops.length - 1);
  const low = Math.min(Math.floor(place), stops.length - 2);
  const [from, to] = [channels(stops[low]), channels(stops[low + 1])];
  return `rgb(${from.map((value, index) => Math.round(value + (to[index] - value) * (place - low))).join(" ")})`;
}

/**
 * How `points` are coloured by `name`: the index of each point's colour, the colours, and the legend's entries
 * {color, text}, with the `value` where it is one of a label.
 */
export function coloring(points, name) {
  const label = points.labels[name];
  const mode = theme();
  if (label && !(label.scale && label.values.length > VALUES.light.length)) {
    const counts = new Array(label.values.length).fill(0);
    for (const index of label.indices) counts[index]++;
    const room = VALUES[mode].length;
    const ranked = [...counts.keys()].sort((first, second) => counts[second] - counts[first]);
    const shown = counts.length > room ? ranked.slice(0, room - 1).sort((first, second) => first - second) : [...counts.keys()];
    const place = new Map(shown.map((value, index) => [value, index]));
    const colors = shown.map((value, index) => (label.values[value] === "" ? OTHER[mode] : VALUES[mode][index]));
    const legend = shown.map((value, index) => ({
      color: colors[index],
      text: label.values[value] || "(none)",
      value: label.values[value] || undefined,
    }));
    if (counts.length > room) {
      colors.push(OTHER[mode]);
      legend.push({ color: OTHER[mode], text: `${counts.length - shown.length} others` });
    }
    return { of: label.indices.map((value) => place.get(value) ?? colors.length - 1), colors, legend };
  }
  const values = label ? label.indices.map((index) => label.scale[index]) : points.lengths;
  const sorted = values.filter((value) => value !== null).sort((first, second) => first - second);
  const [low, high] = [sorted[Math.floor(sorted.length * 0.02)] ?? 0, sorted[Math.floor(sorted.length * 0.98)] ?? 1];
  const colors = Array.from({ length: SHADES }, (_, index) => ramp(index / (SHADES - 1)));
  colors.push(OTHER[mode]);
  const span = high - low || 1;
  const of = values.map((value) =>
    value === null ? SHADES : Math.min(SHADES - 1, Math.max(0, Math.round(((value - low) / span) * (SHADES - 1)))),
  );
  const unit = label ? "" : " tokens";
  const legend = [0, 0.5, 1].map((share) => ({ color: ramp(share), text: `${+(low + share * span).toFixed(label ? 1 : 0)}${unit}` }));
  return { of, colors, legend };
}
