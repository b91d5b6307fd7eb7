// Elements. Text goes into the page as text alone, never as HTML.

export const byId = (id) => document.getElementById(id);

/** An element with properties (`class`, `text`, `on...` handlers, attributes) and children. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === false) continue;
    if (name === "text") element.textContent = value;
    else if (name === "class") element.className = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Fills a select with [value, text] pairs and chooses one. It may be open: the same options stay. */
export function fill(select, options, chosen) {
  const same = options.length === select.length && options.every(([value, text], index) => select[index].value === value && select[index].text === text);
  if (!same) select.replaceChildren(...options.map(([value, text]) => make("option", { value, text })));
  select.value = chosen;
}

/** A labelled control: the label's text above the control. */
export function field(text, control, extra = "") {
  return make("label", { class: `field ${extra}` }, make("span", { text }), control);
}

/** Calls `action` when it has not been called for some milliseconds. */
export function settled(action, wait = 350) {
  let timer = 0;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => action(...values), wait);
  };
}

/** Greys a button out, or not. It keeps the focus that the attribute `disabled` would take from it. */
export function grey(button, off) {
  button.setAttribute("aria-disabled", String(off));
}

/** Shows an error in an element, or clears it. */
export function complain(place, error) {
  place.textContent = error ? [error.message, error.hint].filter(Boolean).join(": ") : "";
  place.classList.toggle("error", Boolean(error));
}

export const fixed = (value, digits = 2) => (value === null || value === undefined ? "" : value.toFixed(digits));
