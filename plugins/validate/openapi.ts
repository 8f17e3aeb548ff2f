/** OpenAPI 3.1 documents: which operation a request means, and what it asks for. */
import { ConfigError } from "../../core/plugin.ts";
import { comparablePath } from "../../core/path.ts";
import { childPointer } from "../../core/pointer.ts";
import type { BodyRule, MediaType } from "./body.ts";
import type { HeadCheck, Params } from "./head.ts";
import { compileParameters } from "./parameters.ts";
import { PathTemplate } from "./path-template.ts";
import { Schemas } from "./schema.ts";
import { type Found, encodePointer, findShape, isRecord, lookUp } from "./shape.ts";

/** What an operation asks of its requests. */
export interface Operation {
  readonly head: readonly HeadCheck[];
  readonly body: BodyRule;
}

export interface FoundOperation {
  readonly operation: Operation;
  /** As they stand in the path, percent-encoded. */
  readonly params: Params;
}

/** One path of the document below one of its servers. */
interface Path {
  readonly template: PathTemplate;
  /** Sorts paths: literal characters before parameters. */
  readonly order: string;
  readonly operations: Map<string, Operation>;
}

const METHODS = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

type Fields = Readonly<Record<string, unknown>>;

export class OpenApi {
  readonly #document: Fields;
  readonly #schemas: Schemas;
  readonly #paths: Path[] = [];
  readonly #byId = new Map<string, Operation>();

  /** @throws ConfigError for what is not supported, or wrong where it is looked at */
  constructor(document: Fields) {
    const { openapi, paths } = document;
    if (typeof openapi !== "string" || !openapi.startsWith("3.1.")) {
      throw new ConfigError("The document is not of OpenAPI 3.1", "/openapi");
    }
    this.#document = document;
    const { jsonSchemaDialect } = document;
    if (
      jsonSchemaDialect !== undefined &&
      !/oas\.|spec\.openapis\.org|2020-12/.test(String(jsonSchemaDialect))
    ) {
      throw new ConfigError("Only the usual dialect of JSON Schema is supported", "/openapi");
    }
    this.#schemas = new Schemas(document, true);
    for (const [template, item] of Object.entries(isRecord(paths) ? paths : {})) {
      this.#addPath(template, this.#follow({ value: item, pointer: childPointer("#/paths", template) }));
    }
    this.#paths.sort((a, b) => (a.order < b.order ? -1 : 1));
    if (this.#byId.size + this.#paths.length === 0)
      throw new ConfigError("The document has no paths", "/openapi");
  }

  /** The operation with this `operationId`. @throws ConfigError */
  byId(id: string): Operation {
    const operation = this.#byId.get(id);
    if (operation !== undefined) return operation;
    throw new ConfigError(`The document has no operation ${JSON.stringify(id)}`, "/operation");
  }

  /** The operation that a request means, or the methods there are; undefined when the document has no such path. */
  find(method: string, path: string): FoundOperation | { readonly allow: string } | undefined {
    const comparable = comparablePath(path);
    for (const { template, operations } of this.#paths) {
      const values = template.match(comparable);
      if (values === undefined) continue;
      const operation = operations.get(method) ?? (method === "HEAD" ? operations.get("GET") : undefined);
      if (operation === undefined) return { allow: [...operations.keys()].join(", ") };
      return { operation, params: Object.fromEntries(template.names.map((name, i) => [name, values[i]!])) };
    }
    return undefined;
  }

  /** What a reference means, or the value itself. */
  #follow(found: Found, depth = 0): Found & { readonly value: Fields } {
    const { value, pointer } = found;
    if (!isRecord(value)) throw new ConfigError(`An object is expected: ${pointer}`, "/openapi");
    const { $ref } = value;
    if ($ref === undefined) return { value, pointer };
    const target = depth > 10 ? undefined : lookUp($ref, this.#document);
    if (target === undefined) {
      throw new ConfigError(
        `The reference ${JSON.stringify($ref)} leads nowhere in the document`,
        "/openapi",
      );
    }
    return this.#follow({ value: target, pointer: $ref as string }, depth + 1);
  }

  #addPath(template: string, { value: item, pointer }: Found & { readonly value: Fields }): void {
    const paths = new Map<string, Path>();
    for (const method of METHODS) {
      if (item[method] === undefined) continue;
      const found = this.#follow({ value: item[method], pointer: `${pointer}/${method}` });
      const operation = this.#compile(found, this.#list(item, pointer));
      const id = found.value["operationId"];
      if (typeof id === "string") this.#byId.set(id, operation);
      for (const base of basePaths(found.value["servers"] ?? item["servers"] ?? this.#document["servers"])) {
        let path = paths.get(base);
        if (path === undefined) paths.set(base, (path = compilePath(base + template)));
        path.operations.set(method.toUpperCase(), operation);
      }
    }
    this.#paths.push(...paths.values());
  }

  #list({ parameters }: Fields, pointer: string): Found[] {
    if (!Array.isArray(parameters)) return [];
    return parameters.map((value: unknown, i) =>
      this.#follow({ value, pointer: `${pointer}/parameters/${i}` }),
    );
  }

  #compile({ value, pointer }: Found & { readonly value: Fields }, shared: readonly Found[]): Operation {
    const parameters = [...shared, ...this.#list(value, pointer)];
    return {
      head: compileParameters(parameters, this.#document, this.#schemas),
      body: this.#compileBody(value["requestBody"], `${pointer}/requestBody`),
    };
  }

  #compileBody(written: unknown, at: string): BodyRule {
    if (written === undefined) return { isRequired: false, types: [] };
    const { value, pointer } = this.#follow({ value: written, pointer: at });
    const content = isRecord(value["content"]) ? value["content"] : {};
    const types = Object.entries(content).map(([name, media]) => {
      const inside = this.#follow({ value: media, pointer: childPointer(`${pointer}/content`, name) });
      return this.#compileMedia(name, inside);
    });
    const rank = ({ pattern }: MediaType): number => (pattern === "*/*" ? 2 : pattern.endsWith("/*") ? 1 : 0);
    return { isRequired: value["required"] === true, types: types.sort((a, b) => rank(a) - rank(b)) };
  }

  #compileMedia(name: string, { value: { schema }, pointer }: Found & { readonly value: Fields }): MediaType {
    const pattern = name.split(";", 1)[0]!.trim().toLowerCase();
    const isForm = pattern === "application/x-www-form-urlencoded";
    const kind = /^[^/]+\/(?:json|[^/]+\+json)$/.test(pattern) ? "json" : isForm ? "form" : "any";
    if (kind === "any" || schema === undefined) return { pattern, kind, check: undefined, shape: undefined };
    const check = this.#schemas.compile(
      { $ref: `document${encodePointer(`${pointer}/schema`)}` },
      "body",
      "/openapi",
    );
    return { pattern, kind, check, shape: findShape(schema, this.#document) };
  }
}

/** Paths that servers begin with; variables have their defaults. */
function basePaths(servers: unknown): string[] {
  if (!Array.isArray(servers) || servers.length === 0) return [""];
  const paths = servers.map((server: unknown) => {
    const { url = "/", variables } = isRecord(server) ? server : {};
    const known = isRecord(variables) ? variables : {};
    const whole = String(url).replaceAll(/\{([^{}]*)\}/g, (_all, name: string) => {
      const variable = known[name];
      return isRecord(variable) ? String(variable["default"]) : "";
    });
    return (URL.parse(whole, "http://localhost")?.pathname ?? "/").replace(/\/+$/, "");
  });
  return [...new Set(paths)];
}

function compilePath(template: string): Path {
  const order = template.replaceAll(/\{[^{}/]*\}/g, "\u{10ffff}");
  return { template: new PathTemplate(template), order, operations: new Map() };
}
