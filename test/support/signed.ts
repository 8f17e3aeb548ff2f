/** Requests signed by hand. */
import type { KeyObject } from "node:crypto";
import { HeaderList } from "../../core/headers.ts";
import { type SignatureAlgorithm, signBase } from "../../core/http-signatures/algorithms.ts";
import { parseComponent } from "../../core/http-signatures/components.ts";
import { contentDigest } from "../../core/http-signatures/content-digest.ts";
import { signatureBase } from "../../core/http-signatures/signature-base.ts";
import type { InnerList } from "../../core/http-signatures/structured-fields.ts";
import { addSignature } from "../../core/http-signatures/signature-fields.ts";
import { headerList, type RequestInit } from "./harness.ts";

export interface Signing {
  readonly key: KeyObject;
  readonly algorithm?: SignatureAlgorithm;
  readonly components?: readonly string[];
  readonly parameters: Readonly<Record<string, string | number>>;
  readonly label?: string;
  readonly authority?: string;
}

export type Signed = RequestInit & { headers: string[] };

/** The request with its digest, if it has a body, and a signature. */
export function signed(request: RequestInit, signing: Signing): Signed {
  const { method = "GET", target = "/", body } = request;
  const headers = new HeaderList(headerList(request.headers).raw.slice());
  const defaults = ["@method", "@target-uri"];
  if (typeof body === "string") {
    headers.set("content-digest", contentDigest(Buffer.from(body)));
    defaults.push("content-digest");
  }
  const { components = defaults, algorithm = "hmac-sha256", authority = "localhost" } = signing;
  const [path = "", query] = target.split("?");
  const search = query === undefined ? "" : `?${query}`;
  const items = components.map((component) => parseComponent(component, "").item);
  const input: InnerList = [items, new Map(Object.entries(signing.parameters))];
  const base = signatureBase(input, { method, scheme: "http", authority, path, search, headers });
  if (base === undefined) throw new Error("cannot be signed");
  addSignature(headers, {
    label: signing.label ?? "sig1",
    input,
    bytes: signBase(algorithm, signing.key, base),
  });
  return { ...request, method, target, headers: headers.raw };
}
