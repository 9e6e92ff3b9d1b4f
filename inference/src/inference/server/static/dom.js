// Small words for the document.

export const byId = (id) => document.getElementById(id);

// Text of an element; without text it is hidden.
export function show(element, text) {
  element.textContent = text;
  element.hidden = !text;
}

export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// For people who do not see the page. Only what has changed for them, never a running number.
export function announce(text) {
  byId("announcer").textContent = text;
}

// Brings what has just happened into view, and the keyboard with it.
export function reveal(section, focused) {
  const smooth = matchMedia("(prefers-reduced-motion: no-preference)").matches;
  section.scrollIntoView({ block: "start", behavior: smooth ? "smooth" : "instant" });
  focused.focus({ preventScroll: true });
}

export const pause = (ms) => new Promise((wake) => setTimeout(wake, ms));
