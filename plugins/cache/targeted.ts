/** Directives for caches of some kind, which come before Cache-Control: RFC 9213, and Surrogate-Control before it. */
import type { HeaderList } from "../../core/headers.ts";
import {
  type Dictionary,
  isInnerList,
  readDictionary,
} from "../../core/http-signatures/structured-fields.ts";
import { type Directive, parseDirectives } from "./directives.ts";
import { splitList } from "./lists.ts";

/** The most particular first. */
const TARGETED = ["sluice-cache-control", "cdn-cache-control"];

/** How this cache introduces itself, and is meant, in Surrogate-Capability and Surrogate-Control. */
const DEVICE = "sluice";
/** What of Surrogate-Control is understood. */
const SURROGATE_DIRECTIVES = new Set(["max-age", "no-store"]);

/** The directives of the first targeted field that is valid and not empty; undefined when there is none. */
export function targetedDirectives(headers: HeaderList): Directive[] | undefined {
  for (const name of TARGETED) {
    const field = headers.getJoined(name);
    const dictionary = field === undefined ? undefined : readDictionary(field);
    if (dictionary !== undefined && dictionary.size > 0) return [...directivesOf(dictionary)];
  }
  const surrogate = headers.getJoined("surrogate-control");
  return surrogate === undefined ? undefined : surrogateDirectives(surrogate);
}

/** Members as directives (RFC 9213 section 2.1): what is true has no argument, what is false or a list is none. */
function* directivesOf(dictionary: Dictionary): Generator<Directive> {
  for (const [name, member] of dictionary) {
    if (isInnerList(member) || member[0] === false) continue;
    yield { name, argument: member[0] === true ? undefined : String(member[0]) };
  }
}

/** Surrogate-Control (W3C, Edge Architecture 1.0): members may be for one device only, as in `max-age=60;sluice`. */
function surrogateDirectives(field: string): Directive[] | undefined {
  const own: string[] = [];
  for (const member of splitList(field)) {
    const [directive = "", ...devices] = member.split(";").map((text) => text.trim());
    if (devices.length === 0 || devices.includes(DEVICE)) own.push(directive);
  }
  const known = parseDirectives(own.join(",")).filter(({ name }) => SURROGATE_DIRECTIVES.has(name));
  return known.length === 0 ? undefined : known;
}

/** Tells the upstream that there is somebody who understands Surrogate-Control. */
export function announce(headers: HeaderList): void {
  headers.append("surrogate-capability", `${DEVICE}="Surrogate/1.0"`);
}
