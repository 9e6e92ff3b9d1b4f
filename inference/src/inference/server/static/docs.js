// Reads /openapi.json and writes it out for people: one section for each operation, its fields and its responses.
import { element } from "./dom.js";

const COLUMNS = ["field", "values", "default", "meaning"];
const cell = (...children) => element("td", {}, ...children);
const code = (text) => element("code", { textContent: text });

function typeOf(schema) {
  const one = schema.anyOf ? schema.anyOf.find((option) => option.type !== "null") : schema;
  if (one.enum || one.const) return (one.enum || [one.const]).join(" | ");
  if (one.type === "array") return `${typeOf(one.items)}, repeated`;
  if (one.contentMediaType) return "file";
  const low = one.minimum ?? one.exclusiveMinimum;
  const high = one.maximum;
  return low === undefined || high === undefined ? one.type : `${one.type}, ${low} to ${high}`;
}

function row(name, schema, required, text) {
  const fallback = required ? "required" : schema.default === null || schema.default === undefined ? "" : `default ${schema.default}`;
  return element("tr", {}, cell(code(name)), cell(typeOf(schema)), cell(fallback), cell(text || ""));
}

function fieldsOf(operation) {
  const rows = (operation.parameters || []).map((p) => row(p.name, p.schema, p.required, p.description));
  const form = operation.requestBody?.content["multipart/form-data"]?.schema;
  for (const [name, schema] of Object.entries(form?.properties || {})) {
    rows.push(row(name, schema, form.required.includes(name), schema.description));
  }
  if (!rows.length) return "";
  const head = element("tr", {}, ...COLUMNS.map((name) => element("th", { scope: "col", textContent: name })));
  return element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows));
}

async function main() {
  const api = await (await fetch("/openapi.json")).json();
  document.getElementById("about").textContent = api.info.description;
  document.getElementById("origin").textContent = location.origin;
  const target = document.getElementById("operations");
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const title = element("h2", {}, code(`${method.toUpperCase()} ${path}`));
      const responses = Object.keys(operation.responses).filter((code) => code !== "4XX").join(", ");
      target.append(title, element("p", { textContent: `${operation.summary}. Responses: ${responses}.` }), fieldsOf(operation));
    }
  }
}
main();
