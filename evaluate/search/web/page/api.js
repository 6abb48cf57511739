"use strict";

function make(tag, text) {
  const element = document.createElement(tag);
  element.textContent = text;
  return element;
}

// Text with `code` in it.
function prose(tag, text) {
  const element = document.createElement(tag);
  text.split("`").forEach((part, place) => element.append(place % 2 ? make("code", part) : part));
  return element;
}

function described(parameter) {
  const row = document.createElement("tr");
  const schema = parameter.schema || {};
  const fallback = schema.default === undefined || schema.default === "" ? "" : ` Default: ${schema.default}.`;
  row.append(make("td", parameter.name + (parameter.required ? " *" : "")));
  row.append(prose("td", (parameter.description || schema.description || "") + fallback));
  return row;
}

async function show() {
  const api = await (await fetch("openapi.json")).json();
  for (const [path, methods] of Object.entries(api.paths)) {
    const table = document.createElement("table");
    table.append(...(methods.get.parameters || []).map(described));
    document.getElementById("endpoints").append(make("h2", path), prose("p", methods.get.description || ""), table);
  }
}

show();
