// The key of a server that wants one. It is asked for when the server first refuses, and sent as a bearer token.
import { byId, show } from "./dom.js";

const STORED = "multitalk-key";
const form = byId("key");
let asking = null;
let key = null;
try {
  key = sessionStorage.getItem(STORED);
} catch { /* a browser without storage: it asks again after a reload */ }

export const hasKey = () => key !== null;

export function authorization() {
  return hasKey() ? { authorization: `Bearer ${key}` } : {};
}

function keep(given) {
  key = given;
  try {
    sessionStorage.setItem(STORED, key);
  } catch { /* as above */ }
}

// Resolves once a person has given a key. However many requests were refused, they are asked once.
export function askForKey() {
  asking ??= new Promise((given) => {
    if (hasKey()) show(byId("key-help"), "The server does not know this key.");
    form.hidden = false;
    byId("key-field").focus();
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      keep(byId("key-field").value.trim());
      form.hidden = true;
      asking = null;
      given();
    }, { once: true });
  });
  return asking;
}
