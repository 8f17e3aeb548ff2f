/** Chooses a content coding by what the client accepts (RFC 9110 section 12.5.3). */
import type { CodingName } from "./codings.ts";

/** What a client accepts of what we have. */
export interface Negotiated {
  /** The coding to use; undefined when the client wants none of ours, or none at all. */
  readonly coding: CodingName | undefined;
  /** False when the client refuses a reply without any coding. */
  readonly identity: boolean;
}

const MAX_REMEMBERED = 200;
const MAX_REMEMBERED_LENGTH = 200;
const WEIGHT = /^(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)$/;

/**
 * Makes a chooser among `encodings`. The client's weights decide, our order decides between equal ones.
 * Clients send few different values, so answers are remembered.
 */
export function createNegotiator(
  encodings: readonly CodingName[],
): (acceptEncoding: string | undefined) => Negotiated {
  const remembered = new Map<string, Negotiated>();
  return (acceptEncoding) => {
    if (acceptEncoding === undefined) return NOTHING_SAID;
    let negotiated = remembered.get(acceptEncoding);
    if (negotiated === undefined) {
      negotiated = negotiate(acceptEncoding, encodings);
      if (remembered.size < MAX_REMEMBERED && acceptEncoding.length <= MAX_REMEMBERED_LENGTH) {
        remembered.set(acceptEncoding, negotiated);
      }
    }
    return negotiated;
  };
}

/** Without the field any coding would be allowed, but clients that understand none send none. */
const NOTHING_SAID: Negotiated = { coding: undefined, identity: true };

function negotiate(acceptEncoding: string, encodings: readonly CodingName[]): Negotiated {
  const weights = parseWeights(acceptEncoding);
  const others = weights.get("*");
  const identity = weights.get("identity") ?? others;
  let coding: CodingName | undefined;
  let best = 0;
  for (const name of encodings) {
    const weight = weights.get(name) ?? others ?? 0;
    if (weight > best) {
      best = weight;
      coding = name;
    }
  }
  if (identity !== undefined && identity > best) coding = undefined;
  return { coding, identity: identity !== 0 };
}

/** Weights by coding; members that are not valid are left out. */
function parseWeights(acceptEncoding: string): Map<string, number> {
  const weights = new Map<string, number>();
  for (const member of acceptEncoding.toLowerCase().split(",")) {
    const [name = "", parameter, ...rest] = member.split(";").map((part) => part.trim());
    const weight = parameter === undefined ? "1" : parameter.startsWith("q=") ? parameter.slice(2) : "";
    if (name === "" || rest.length > 0 || !WEIGHT.test(weight)) continue;
    weights.set(name === "x-gzip" ? "gzip" : name, Number(weight));
  }
  return weights;
}
