/** Another server says who asks, by the headers of the request (as `auth_request` of nginx has it). */
import { hash } from "node:crypto";
import type { Answer } from "../../core/ask.ts";
import { Asker } from "../../core/asker.ts";
import { isHeaderValue, isHopByHop, trimBlanks } from "../../core/headers.ts";
import { compileHeaderName } from "../../core/option-text.ts";
import {
  type Clock,
  ConfigError,
  type Consumer,
  type Exchange,
  type HeaderList,
  type Host,
} from "../../core/plugin.ts";
import { parseRemoteUrl } from "../../core/remote-url.ts";
import { parseDuration } from "../../core/units.ts";
import { Answers, type Judgement } from "./answers.ts";
import { headerPlace } from "./credential.ts";
import type { ForwardOptions } from "./forward/options.ts";
import type { Method } from "./method.ts";
import { isPlainText, MOST_NAME_CHARS } from "../../core/naming.ts";

/** Longest answer, whose body nobody needs. */
const MOST_BYTES = 64 * 1024;
/** Longer ones are not sent on. */
const MOST_HEADER_CHARS = 16 * 1024;

/** @throws ConfigError at `pointer` */
export function createForward(raw: ForwardOptions, pointer: string, host: Host): Method {
  const options = check(raw, pointer);
  const digest = hash("sha256", JSON.stringify(raw));
  const answers = host.keep(
    `auth forward ${digest}`,
    () => new ForwardAnswers(options, parseDuration(raw.cacheFor), new Asker(WHAT, METRIC, host), host.clock),
  );
  const { headers, keep, copyHeaders } = options;
  const { challenge } = options;
  return {
    name: "forward",
    challenge,
    rejection: challenge,
    replaces: copyHeaders,
    // With `keep` they are whatever else the upstream reads as well.
    places: keep ? [] : headers.filter((name) => name !== "cookie").map((name) => headerPlace(name, readAny)),
    identify(x) {
      const sent = readHeaders(x, headers);
      if (sent === undefined) return "absent";
      if (!keep) for (const name of headers) if (name !== "cookie") x.headers.delete(name);
      if (sent === "invalid") return sent;
      const url = `${x.scheme}://${x.authority}${x.originalPath}${x.originalSearch}`;
      const request = { ...sent, "x-original-method": x.originalMethod, "x-original-url": url };
      return answers.find(hash("sha256", JSON.stringify(request), "base64url"), request);
    },
    introduce(x, consumer) {
      const copies = answers.copiesFor(consumer);
      for (let i = 0; i < copies.length; i += 2) x.headers.append(copies[i]!, copies[i + 1]!);
    },
  };
}

const readAny = (headers: HeaderList, name: string): string | undefined => headers.get(name);

const WHAT = "the server that auth forwards to";
const METRIC = {
  name: "sluice_auth_forward_questions_total",
  help: "Questions to servers that say who asks, by outcome: `ok` (an answer, whatever it says) or `failed`.",
};

interface Compiled extends Omit<ForwardOptions, "url"> {
  readonly url: URL;
}

type Sent = Readonly<Record<string, string>>;

/** @returns undefined when none is there; "invalid" when nobody could tell which of several counts */
function readHeaders({ headers }: Exchange, names: readonly string[]): Sent | "invalid" | undefined {
  const sent: Record<string, string> = {};
  let chars = 0;
  let isAbsent = names.length > 0;
  for (const name of names) {
    const lines = headers.getAll(name);
    if (lines.length === 0) continue;
    if (lines.length > 1 && name !== "cookie") return "invalid";
    sent[name] = lines.join("; ");
    chars += sent[name].length;
    isAbsent = false;
  }
  if (chars > MOST_HEADER_CHARS) return "invalid";
  return isAbsent ? undefined : sent;
}

class ForwardAnswers extends Answers<Sent> {
  readonly #options: Compiled;
  readonly #timeoutMs: number;
  readonly #asker: Asker;
  /** Headers of the answers that said who asks, flat. */
  readonly #copies = new WeakMap<Consumer, readonly string[]>();

  constructor(options: Compiled, keepMs: number, asker: Asker, clock: Clock) {
    super(asker, keepMs, clock);
    this.#options = options;
    this.#timeoutMs = parseDuration(options.timeout);
    this.#asker = asker;
  }

  copiesFor(consumer: Consumer): readonly string[] {
    return this.#copies.get(consumer) ?? [];
  }

  protected question(headers: Sent): Promise<Judgement> {
    const { url, method } = this.#options;
    const question = { url, method, headers, timeoutMs: this.#timeoutMs, maxBytes: MOST_BYTES };
    return this.#asker.ask(question, (answer) => this.#judge(answer, headers));
  }

  #judge(answer: Answer, sent: Sent): Judgement {
    const { status, headers } = answer;
    if (status === 403) return { finding: "forbidden", bytes: 0 };
    const isRefused = status >= 400 && status < 500 && status !== 408 && status !== 429;
    if (isRefused) return { finding: "invalid", bytes: 0 };
    if (status < 200 || status >= 300) throw new Error(`the answer has status ${status}`);
    const { consumerHeader, rolesHeader, copyHeaders } = this.#options;
    const [name, ...more] = headers.getAll(consumerHeader).map(decodeText);
    if (more.length > 0 || !isPlainText(name, MOST_NAME_CHARS)) {
      throw new Error(`the answer does not say in ${consumerHeader} who asks`);
    }
    const roles = decodeText(headers.getJoined(rolesHeader) ?? "").split(",");
    const credential = hash("sha256", JSON.stringify({ ...sent, ...REQUEST_UNSAID }), "base64url");
    const consumer: Consumer = {
      name,
      roles: roles.map((role) => role.trim()).filter((role) => role !== ""),
      credential: credential.slice(0, 12),
    };
    const copies = copyHeaders.flatMap((header) =>
      headers.getAll(header).flatMap((value) => [header, value]),
    );
    this.#copies.set(consumer, copies);
    return { finding: consumer, bytes: 2 * headers.raw.join("").length + 500 };
  }
}

/** A credential is the same whatever is asked for with it. */
const REQUEST_UNSAID = { "x-original-method": "", "x-original-url": "" };

/** Header fields are read a byte a character, and most servers write UTF-8. */
function decodeText(value: string): string {
  return trimBlanks(Buffer.from(value, "latin1").toString());
}

function check(options: ForwardOptions, pointer: string): Compiled {
  const compile = (name: string, at: string): string => {
    const lower = compileHeaderName(name, `${pointer}/${at}`);
    if (lower !== "host" && !isHopByHop(lower)) return lower;
    throw new ConfigError(
      `The header ${lower} is of one connection only`,
      `${pointer}/${at}`,
      "CONFIG_VALUE",
    );
  };
  const compileAll = (key: "headers" | "copyHeaders"): string[] =>
    options[key].map((name, i) => compile(name, `${key}/${i}`));
  if (!isHeaderValue(options.challenge)) {
    throw new ConfigError("This cannot be in a header", `${pointer}/challenge`, "CONFIG_VALUE");
  }
  return {
    ...options,
    url: parseRemoteUrl(options.url, options.allowHttp, "let anybody in", `${pointer}/url`),
    headers: compileAll("headers"),
    copyHeaders: compileAll("copyHeaders"),
    consumerHeader: compile(options.consumerHeader, "consumerHeader"),
    rolesHeader: compile(options.rolesHeader, "rolesHeader"),
  };
}
