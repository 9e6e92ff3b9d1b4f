// Where people are, as numbers: boxes in pixels of the picture. Pure; `boxes` draws them.

const MARGIN = 0.05; // as the server's own halves have it, which are shown until somebody moves a box
const LEAST = 0.04;

// The left and the right half, where two people are unless a request says otherwise.
export function halves({ width, height }) {
  const half = Math.trunc(width / 2);
  const [top, bottom] = [Math.trunc(height * MARGIN), Math.trunc(height * (1 - MARGIN))];
  const [near, far] = [half * MARGIN, half * (1 - MARGIN)];
  return [
    { top, left: Math.trunc(near), bottom, right: Math.trunc(far) },
    { top, left: Math.trunc(near + half), bottom, right: Math.trunc(far + half) },
  ];
}

const within = (value, low, high) => Math.min(Math.max(value, low), high);

export function moved(box, right, down, { width, height }) {
  const x = within(right, -box.left, width - box.right);
  const y = within(down, -box.top, height - box.bottom);
  return { top: box.top + y, left: box.left + x, bottom: box.bottom + y, right: box.right + x };
}

// `corner` names two sides, such as "top left"; the others stay.
export function resized(box, corner, right, down, { width, height }) {
  const [wide, high] = [width * LEAST, height * LEAST];
  const next = { ...box };
  if (corner.includes("left")) next.left = within(box.left + right, 0, box.right - wide);
  if (corner.includes("right")) next.right = within(box.right + right, box.left + wide, width);
  if (corner.includes("top")) next.top = within(box.top + down, 0, box.bottom - high);
  if (corner.includes("bottom")) next.bottom = within(box.bottom + down, box.top + high, height);
  return next;
}

// As the API takes it.
export const asField = (box) => [box.top, box.left, box.bottom, box.right].map(Math.round).join(",");

export function inWords(box, { width, height }) {
  const percent = (part, whole) => Math.round((100 * part) / whole);
  return `${percent(box.left, width)} to ${percent(box.right, width)} % from the left, ${percent(box.top, height)} to ${percent(box.bottom, height)} % from the top`;
}
