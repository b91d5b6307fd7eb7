// The tabs of the tools (WAI-ARIA: one tab stop, arrows move between them).

import { make } from "./dom.js";

/** Makes a tab and a panel for each tool {name, title, panel}; `onselect` is told the name. Returns `select`. */
export function tabs(tools, bar, room, onselect) {
  const buttons = tools.map((tool) =>
    make("button", {
      type: "button",
      role: "tab",
      id: `tab-${tool.name}`,
      "aria-controls": `panel-${tool.name}`,
      text: tool.title,
      onclick: () => onselect(tool.name),
    }),
  );
  for (const tool of tools) {
    tool.panel.id = `panel-${tool.name}`;
    tool.panel.setAttribute("role", "tabpanel");
    tool.panel.setAttribute("aria-labelledby", `tab-${tool.name}`);
    room.append(tool.panel);
  }
  bar.append(...buttons);
  bar.addEventListener("keydown", (event) => {
    const steps = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity };
    const now = buttons.indexOf(event.target);
    if (!(event.key in steps) || now < 0) return;
    event.preventDefault();
    const next = Number.isFinite(steps[event.key])
      ? (now + steps[event.key] + buttons.length) % buttons.length
      : steps[event.key] < 0
        ? 0
        : buttons.length - 1;
    buttons[next].focus();
    onselect(tools[next].name);
  });
  return function select(name) {
    tools.forEach((tool, index) => {
      const open = tool.name === name;
      buttons[index].setAttribute("aria-selected", String(open));
      buttons[index].tabIndex = open ? 0 : -1;
      tool.panel.hidden = !open;
    });
  };
}
