// The list of the sentences on the map: what the keyboard and a screen reader reach.

import { byId, grey, make } from "./dom.js";

const SHOWN = 50;

export class SentenceList {
  /** `onhover` and `onchoose` are told the index of a sentence. */
  constructor({ onhover, onchoose }) {
    this.list = byId("list");
    this.onhover = onhover;
    this.onchoose = onchoose;
    this.texts = [];
    this.rows = [];
    this.first = 0;
    byId("list-back").addEventListener("click", () => this.page(-SHOWN));
    byId("list-on").addEventListener("click", () => this.page(SHOWN));
    this.list.addEventListener("keydown", (event) => this.key(event));
  }

  /** Shows the sentences `rows`, indices of `texts`. What shows them already stays, with its page and the focus. */
  show(texts, rows, total) {
    const same = (one, other) => one.length === other.length && one.every((value, index) => value === other[index]);
    if (total === this.total && same(rows, this.rows) && same(texts, this.texts)) return;
    this.texts = texts;
    this.rows = rows;
    this.total = total;
    this.first = 0;
    this.draw();
  }

  page(step) {
    const first = this.first + step;
    if (first < 0 || first >= this.rows.length) return;
    this.first = first;
    this.draw();
    this.list.scrollTop = 0;
  }

  draw() {
    const rows = this.rows.slice(this.first, this.first + SHOWN);
    this.list.start = this.first + 1;
    this.list.replaceChildren(
      ...rows.map((index) =>
        make(
          "li",
          {},
          make("button", {
            type: "button",
            dir: "auto",
            text: this.texts[index],
            onclick: () => this.onchoose(index),
            onfocus: () => this.onhover(index),
            onblur: () => this.onhover(-1),
            onpointerenter: () => this.onhover(index),
            onpointerleave: () => this.onhover(-1),
          }),
        ),
      ),
    );
    const last = Math.min(this.first + SHOWN, this.rows.length);
    const range = this.rows.length ? `${this.first + 1} to ${last} of ${this.rows.length.toLocaleString("en")}` : "none";
    const whole = this.total > this.rows.length ? `, ${this.total.toLocaleString("en")} in all` : "";
    byId("list-count").textContent = range + whole;
    grey(byId("list-back"), this.first === 0);
    grey(byId("list-on"), last >= this.rows.length);
  }

  key(event) {
    const steps = { ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity };
    if (!(event.key in steps)) return;
    const buttons = [...this.list.querySelectorAll("button")];
    const now = buttons.indexOf(document.activeElement);
    if (now < 0) return;
    event.preventDefault();
    buttons[Math.min(Math.max(0, now + steps[event.key]), buttons.length - 1)].focus();
  }
}
