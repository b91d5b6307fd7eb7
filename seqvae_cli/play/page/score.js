// How likely a sentence is, and which of its words the model finds hard.

import { ask, leave } from "./api.js";
import { complain, field, fixed, make, settled } from "./dom.js";
import { line, quoted } from "./snippets.js";
import { set, state } from "./state.js";
import { readAsUnknown } from "./words.js";

const MOST = 20;
const HOT = 12;

export function scoreTool(page) {
  const texts = make("textarea", { rows: 3, id: "score-texts", dir: "auto", oninput: () => set({ texts: texts.value }) });
  const answers = make("div", { class: "scores", id: "scores" });
  const note = make("p", { class: "note", role: "status" });
  const panel = make(
    "div",
    { class: "panel" },
    field(`Sentences, one a line, ${MOST} at most`, texts),
    make("p", { class: "note", text: "Under each word: its share of the distortion in nats, given the sentence's own code." }),
    answers,
    note,
  );
  const send = settled(request);
  const lines = () => state.texts.split("\n").map((line) => line.trim()).filter(Boolean).slice(0, MOST);

  async function request() {
    if (!lines().length || !page.model) {
      clear();
      return;
    }
    try {
      const found = await ask("score", { run: page.values().run, sentences: lines() }, "score");
      if (!found) return;
      complain(note, null);
      answers.replaceChildren(...found.sentences.map((one) => card(one, found.samples)));
    } catch (error) {
      answers.replaceChildren();
      complain(note, error);
    }
  }

  function clear() {
    leave("score");
    complain(note, null);
    answers.replaceChildren();
  }

  function card(one, samples) {
    const words = one.tokens.map((token, index) => {
      const word = make(
        "span",
        { class: "heat" },
        make("span", { text: token }),
        make("small", { text: fixed(one.nats[index], 1) }),
      );
      word.style.setProperty("--heat-share", Math.min(1, one.nats[index] / HOT));
      return word;
    });
    const figures = [
      [`bound on -log p(x), K = ${samples}`, one.nll],
      ["nats a token", one.nats_per_token],
      ["-ELBO", one.neg_elbo],
      ["distortion", one.distortion],
      ["rate", one.rate],
    ];
    const unknown = one.unknown.length ? make("p", { class: "note" }, ...readAsUnknown([one.unknown])) : null;
    return make(
      "article",
      {},
      make("p", { class: "heats", dir: "auto" }, ...words),
      make("dl", {}, ...figures.map(([name, value]) => make("div", {}, make("dt", { text: name }), make("dd", { text: fixed(value) })))),
      unknown,
    );
  }

  return {
    name: "score",
    title: "Score",
    panel,
    show() {
      if (!state.texts && page.points?.texts.length) {
        const text = page.points.texts[0];
        set({ texts: `${text}\n${text.split(" ").reverse().join(" ")}` });
        return;
      }
      texts.value = state.texts;
      request();
    },
    choose: (index) => set({ texts: page.points.texts[index] }),
    changed(names) {
      if (texts.value !== state.texts) texts.value = state.texts;
      if (names.includes("texts")) send();
    },
    hide: () => leave("score"),
    clear,
    command: (run) => line("seqvae score", lines(), ["--samples 100", ...run]),
    python: () => `for score in model.score([${lines().map(quoted).join(", ")}], samples=100): print(score.iw_nll)`,
  };
}
