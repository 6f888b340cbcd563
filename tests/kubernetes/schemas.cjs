// Reads a JSON list of Kubernetes objects, writes a JSON list of what each one's schema has against it; null: nothing.
//   KUBERNETES_MODULES=FOLDER node schemas.cjs < objects.json
// Stricter than the schemas as they are published: a field that they do not name is a problem, as with `kubectl apply --validate=strict`.
const { createRequire } = require("node:module");
const { readFileSync } = require("node:fs");
const installed = createRequire(process.env.KUBERNETES_MODULES + "/package.json");

const of_group = {
  "cert-manager.io": "@kubernetes-models/cert-manager/cert-manager.io",
  "keda.sh": "@kubernetes-models/keda/keda.sh",
};

function closed(schema) {
  if (Array.isArray(schema)) return schema.map(closed);
  if (schema === null || typeof schema !== "object") return schema;
  const made = Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, closed(value)]));
  const open = "additionalProperties" in schema || schema["x-kubernetes-preserve-unknown-fields"];
  if (schema.properties && typeof schema.properties === "object" && schema.type === "object" && !open)
    made.additionalProperties = false;
  return made;
}

const validation = installed("@kubernetes-models/validate");
const register = validation.register;
validation.register = (id, schema) => register(id, closed(schema));

function problem_of(object) {
  const [group, version] = object.apiVersion.includes("/") ? object.apiVersion.split("/") : ["", object.apiVersion];
  const folder = of_group[group] ?? ["kubernetes-models", group].filter(Boolean).join("/");
  const kind = installed(`${folder}/${version}`)[object.kind];
  if (!kind) return `${object.apiVersion} has no ${object.kind}`;
  try {
    new kind(object).validate();
    return null;
  } catch (error) {
    return error.message;
  }
}

process.stdout.write(JSON.stringify(JSON.parse(readFileSync(0, "utf8")).map(problem_of)));
