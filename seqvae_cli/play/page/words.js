// Sentences as words, and which of them changed.

import { make } from "./dom.js";

/** The words of a text; its characters where it has no spaces. */
export function wordsOf(text) {
  const words = text.split(/\s+/u).filter(Boolean);
  return words.length === 1 && [...text].length > 20 ? [...text] : words;
}

/** A decoded sentence as it is shown: an empty one is an answer, too. */
export const said = (one) => one.text + (one.cut ? " …" : "") || "(empty)";

/** The note on the words that a model does not know, given lists of them; none: no note. */
export function readAsUnknown(lists) {
  const words = [...new Set(lists.flat())].map((word) => make("bdi", { text: word }));
  return words.flatMap((word, index) => [index ? ", " : "read as <unk>: ", word]);
}

/** Which words of `words` are not in a longest common subsequence with `before`. */
export function changed(before, words) {
  const rows = before.length + 1;
  const columns = words.length + 1;
  const length = new Uint16Array(rows * columns);
  for (let i = before.length - 1; i >= 0; i--) {
    for (let j = words.length - 1; j >= 0; j--) {
      length[i * columns + j] =
        before[i] === words[j]
          ? length[(i + 1) * columns + j + 1] + 1
          : Math.max(length[(i + 1) * columns + j], length[i * columns + j + 1]);
    }
  }
  const found = new Array(words.length).fill(true);
  for (let i = 0, j = 0; i < before.length && j < words.length; ) {
    if (before[i] === words[j]) {
      found[j] = false;
      i++;
      j++;
    } else if (length[(i + 1) * columns + j] >= length[i * columns + j + 1]) i++;
    else j++;
  }
  return found;
}

/** The text as nodes, with the words that differ from `before` marked; all alike without `before`. */
export function marked(text, before) {
  const words = wordsOf(text);
  if (before === undefined || before === null) return [document.createTextNode(text)];
  const marks = changed(wordsOf(before), words);
  const gap = words.length > 1 && text.includes(" ") ? " " : "";
  return words.flatMap((word, index) => [
    marks[index] ? make("mark", { text: word }) : document.createTextNode(word),
    document.createTextNode(gap),
  ]);
}
