// Errors at the fields they are about, and as a sentence that is read out.
import { byId, element, show } from "./dom.js";

const MARK = "field-error";

export function clearProblems() {
  show(byId("error"), "");
  for (const text of document.querySelectorAll(`.${MARK}`)) text.remove();
  for (const control of document.querySelectorAll(`[aria-describedby^=${MARK}]`)) {
    control.removeAttribute("aria-invalid");
    control.removeAttribute("aria-describedby");
  }
}

// `name` is the field of the API; null is for what is about no field of the form.
export function showProblem(name, text, number = 0) {
  show(byId("error"), text);
  const place = name && document.querySelector(`[data-field="${name}"]`);
  const controls = place ? [...place.querySelectorAll("input, textarea, select, .box")].filter((each) => each.closest("[hidden]") === null) : [];
  const control = controls[number] ?? controls[0];
  if (!control) {
    byId("error").scrollIntoView({ block: "nearest" });
    return;
  }
  const id = `${MARK}-${name}`;
  place.append(element("p", { className: `${MARK} error`, id, textContent: text }));
  if (!control.matches("button")) control.setAttribute("aria-invalid", "true");
  control.setAttribute("aria-describedby", id);
  control.closest("details")?.setAttribute("open", "");
  control.focus();
}
