/** A configuration with a secret of its own in every place that can hold one, and who says whether any of them is shown. */
import { generateKeyPairSync, scryptSync } from "node:crypto";
import { gatewaySchema } from "../../core/config/schema.ts";
import { scriptGrantsSchema } from "../../core/config/script-schema.ts";
import { resolveRef } from "../../core/config/walk-schema.ts";
import type { JsonSchema } from "../../core/plugin.ts";
import { catalogue } from "../../plugins/index.ts";
import { createAuthority } from "./certificates.ts";

/** Secrets that were planted. */
export class Planted {
  readonly #texts = new Map<string, string>();
  #made = 0;

  /** A new one: 40 characters of letters and digits. */
  make(what: string): string {
    const text = `planted${this.#made++}x${what.replaceAll(/[^a-zA-Z0-9]/g, "")}`.padEnd(40, "Q7z").slice(0, 40);
    return this.add(what, text);
  }

  /** Takes note of a text that must not be shown either. */
  add(what: string, text: string): string {
    this.#texts.set(text, what);
    return text;
  }

  /** Takes note of a key in PEM: of its first whole line. */
  addPem(what: string, pem: string): string {
    this.add(what, pem.split("\n")[1]!);
    return pem;
  }

  /** What of them is in a text, as it is, or in a form that anybody can undo. */
  in(text: string): string[] {
    const found: string[] = [];
    for (const [secret, what] of this.#texts) {
      const bytes = Buffer.from(secret);
      const forms = [secret, bytes.toString("base64").replaceAll("=", ""), bytes.toString("base64url"), bytes.toString("hex")];
      if (forms.some((form) => text.includes(form))) found.push(what);
    }
    return found;
  }

  /** Whether a value is one, or has one in it. */
  isIn(value: string): boolean {
    return [...this.#texts.keys()].some((secret) => value.includes(secret));
  }
}

/** A place of a configuration: names of keys, `[]` for members of lists, the plugin's name first for options of stages. */
type Place = string;

/** Every place that a schema calls a secret; `*` stands for any key. */
export function secretPlaces(): Set<Place> {
  const places = new Set<Place>();
  const look = (part: unknown, place: Place, root: JsonSchema, within: readonly string[] = []): void => {
    if (typeof part !== "object" || part === null) return;
    const schema = part as JsonSchema;
    if (schema["writeOnly"] === true) return void places.add(place);
    const go = (each: unknown, at = place): void => look(each, at, root, within);
    const { $ref } = schema;
    // Conditions are made of conditions, and stages are looked at by themselves.
    if (typeof $ref === "string" && !within.includes($ref) && !$ref.endsWith("/stage")) {
      look(resolveRef($ref, root), place, root, [...within, $ref]);
    }
    for (const [key, each] of Object.entries(schema.properties ?? {})) go(each, `${place}.${key}`);
    go(schema["items"], `${place}[]`);
    go(schema["additionalProperties"], `${place}.*`);
    for (const keyword of ["anyOf", "oneOf", "allOf"]) {
      for (const each of (schema[keyword] as unknown[] | undefined) ?? []) go(each);
    }
  };
  look(gatewaySchema, "", gatewaySchema);
  for (const { name, schema } of catalogue.values()) look(schema, `(${name})`, schema);
  look(scriptGrantsSchema, "(script).grants", scriptGrantsSchema);
  return places;
}
