// The API of the server, as the page uses it.
import { askForKey, authorization, hasKey } from "./key.js";

// A response other than success; status 0: there was none.
export class Refusal extends Error {
  constructor(status, { message, code = null, param = null }) {
    super(message);
    Object.assign(this, { status, code, param });
  }

  // Asking again may bring another answer.
  get passing() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

const noAnswer = () => new Refusal(0, { message: "The server does not answer." });

function answerOf(status, text) {
  let body = {};
  try {
    body = JSON.parse(text);
  } catch { /* a proxy's page: its status has to do */ }
  if (status >= 200 && status < 300) return body;
  throw new Refusal(status, body.error ?? { message: `The server answered with ${status}.` });
}

async function request(path, options) {
  for (;;) {
    const response = await fetch(path, { ...options, headers: authorization() }).catch(() => { throw noAnswer(); });
    if (response.status !== 401) return response;
    await askForKey();
  }
}

export async function call(path, method = "GET") {
  const response = await request(path, { method });
  return answerOf(response.status, await response.text().catch(() => { throw noAnswer(); }));
}

// Sends a form and tells how much of it is sent; `fetch` cannot tell.
export async function upload(path, form, onProgress, signal) {
  for (;;) {
    const { status, text } = await post(path, form, onProgress, signal);
    if (status !== 401) return answerOf(status, text);
    await askForKey();
  }
}

function post(path, form, onProgress, signal) {
  return new Promise((resolve, reject) => {
    const sending = new XMLHttpRequest();
    sending.open("POST", path);
    for (const [name, value] of Object.entries(authorization())) sending.setRequestHeader(name, value);
    sending.upload.onprogress = (event) => onProgress(event.loaded, event.total);
    sending.onload = () => resolve({ status: sending.status, text: sending.responseText });
    sending.onerror = () => reject(noAnswer());
    sending.onabort = () => reject(new DOMException("stopped", "AbortError"));
    signal.addEventListener("abort", () => sending.abort());
    sending.send(form);
  });
}

// Where an element finds a file of the API. Elements send no key, so with one the file is fetched for them.
export async function source(path) {
  if (!hasKey()) return path;
  const response = await request(path);
  if (!response.ok) answerOf(response.status, await response.text());
  return URL.createObjectURL(await response.blob());
}
