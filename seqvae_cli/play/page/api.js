// Requests to the server. A channel carries one request at a time: a new one takes the place of the last.

const open = new Map();

export class Refused extends Error {
  constructor(message, hint, status) {
    super(message);
    this.hint = hint;
    this.status = status;
  }
}

let drops = () => false;

/** Answers of which `test`, given the name of the endpoint and the answer, says so are dropped. */
export function dropWhere(test) {
  drops = test;
}

/** The answer of an endpoint; undefined where it is dropped or a later request took its place. Throws `Refused`. */
export async function ask(name, values = {}, channel = name) {
  open.get(channel)?.abort();
  const control = new AbortController();
  open.set(channel, control);
  try {
    const response = await fetch(`/api/${name}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(values),
      signal: control.signal,
    });
    const answer = await response.json();
    if (control.signal.aborted) return undefined;
    if (!response.ok) throw new Refused(answer.error, answer.hint, response.status);
    return drops(name, answer) ? undefined : answer;
  } catch (error) {
    if (control.signal.aborted || error.name === "AbortError") return undefined;
    if (error instanceof Refused) throw error;
    throw new Refused("the server does not answer", "is seqvae play still running?", 0);
  } finally {
    if (open.get(channel) === control) open.delete(channel);
  }
}

/** Ends the request of a channel; the server then stops its work. */
export function leave(channel) {
  open.get(channel)?.abort();
}

/** Calls `action` with the latest of the values given while it is busy, one call at a time. */
export function latest(action) {
  let busy = false;
  let waiting = null;
  return async function next(...values) {
    if (busy) {
      waiting = values;
      return;
    }
    busy = true;
    try {
      await action(...values);
    } finally {
      busy = false;
      if (waiting) {
        const held = waiting;
        waiting = null;
        next(...held);
      }
    }
  };
}
