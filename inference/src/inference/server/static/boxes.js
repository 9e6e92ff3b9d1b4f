// The boxes of two people on the picture: dragged with mouse or finger, moved with the arrow keys.
import { announce, byId, element } from "./dom.js";
import { asField, halves, inWords, moved, resized } from "./regions.js";

const CORNERS = ["top left", "top right", "bottom left", "bottom right"];
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const KEY_STEP = 0.01;
const SETTLED_MS = 700;

export class Boxes {
  constructor(stage) {
    this.stage = stage;
    this.size = null; // of the picture; null while there is none that can be shown
    this.shown = false;
    this.touched = false; // until then the request leaves them out, and the server takes its own
    this.buttons = [1, 2].map((person) => this.#button(person));
    stage.append(...this.buttons);
    byId("halves").addEventListener("click", () => this.reset());
  }

  // A new picture, or none.
  setSize(size) {
    this.size = size;
    this.reset();
  }

  setShown(shown) {
    this.shown = shown;
    this.#draw();
  }

  // What is written on a box: whose voice it is.
  setVoice(person, name) {
    this.buttons[person - 1].querySelector(".tag").textContent = `${person} ${name}`;
  }

  reset() {
    this.touched = false;
    this.boxes = this.size ? halves(this.size) : [];
    this.#draw();
  }

  // Values of the form's field; none where the server's own boxes are meant.
  fields() {
    return this.shown && this.touched ? this.boxes.map(asField) : [];
  }

  #button(person) {
    const corners = CORNERS.map((corner) => Object.assign(element("span", { className: `corner ${corner}` }), { corner }));
    const made = element("button", { type: "button", className: "box" }, element("span", { className: "tag" }), ...corners);
    made.dataset.person = person;
    made.addEventListener("pointerdown", (event) => this.#drag(event, person - 1));
    made.addEventListener("keydown", (event) => this.#key(event, person - 1));
    return made;
  }

  #draw() {
    const visible = this.shown && this.size !== null;
    byId("box-help").hidden = !visible;
    this.buttons.forEach((button, index) => {
      button.hidden = !visible;
      if (!visible) return;
      const box = this.boxes[index];
      const { width, height } = this.size;
      button.classList.toggle("untouched", !this.touched);
      button.style.left = `${(100 * box.left) / width}%`;
      button.style.top = `${(100 * box.top) / height}%`;
      button.style.width = `${(100 * (box.right - box.left)) / width}%`;
      button.style.height = `${(100 * (box.bottom - box.top)) / height}%`;
      button.setAttribute("aria-label", `Where person ${index + 1} is: ${inWords(box, this.size)}`);
    });
  }

  #set(index, box) {
    this.boxes[index] = box;
    this.touched = true;
    this.#draw();
  }

  #drag(event, index) {
    if (event.button !== 0) return;
    const button = this.buttons[index];
    const [start, first] = [{ x: event.clientX, y: event.clientY }, this.boxes[index]];
    const { corner } = event.target;
    const scale = this.size.width / this.stage.clientWidth;
    const move = (to) => {
      const [right, down] = [(to.clientX - start.x) * scale, (to.clientY - start.y) * scale];
      this.#set(index, corner ? resized(first, corner, right, down, this.size) : moved(first, right, down, this.size));
    };
    button.setPointerCapture(event.pointerId);
    button.addEventListener("pointermove", move);
    const end = () => button.removeEventListener("pointermove", move);
    for (const name of ["pointerup", "pointercancel"]) button.addEventListener(name, end, { once: true });
  }

  #key(event, index) {
    const direction = ARROWS[event.key];
    if (!direction) return;
    event.preventDefault();
    const [right, down] = [direction[0] * this.size.width * KEY_STEP, direction[1] * this.size.height * KEY_STEP];
    const change = event.shiftKey ? (box) => resized(box, "bottom right", right, down, this.size) : (box) => moved(box, right, down, this.size);
    this.#set(index, change(this.boxes[index]));
    clearTimeout(this.settled);
    this.settled = setTimeout(() => announce(`Person ${index + 1}: ${inWords(this.boxes[index], this.size)}`), SETTLED_MS);
  }
}
