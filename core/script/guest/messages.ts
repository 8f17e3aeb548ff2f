/** The request and the response as hooks see them. What is changed becomes lines of edits for the host. */
import type { Guest, GuestBody, GuestStage } from "./shape.ts";

export function guestMessages(g: Guest): void {
  const { parse, stringify } = JSON;
  const MOST_CHARS = 64 * 1024 * 1024;
  const URL_CHARS = 16 * 1024;

  class BodyNotJson extends Error {
    override name = "BodyNotJson";
    kind = "body-json";
  }

  /** Its length is told, so that its text needs no escapes. */
  const lineOf = (kind: string, text: string): string => {
    if (text.length > MOST_CHARS) throw new RangeError("The body is too large");
    return `b${kind}${text.length}:${text}\n`;
  };

  g.bodyLine = (value) => {
    if (value === undefined || value === null) return lineOf("x", "");
    if (typeof value === "string") return lineOf("t", value);
    if (value instanceof Uint8Array) return lineOf("x", g.toLatin1(value));
    if (value instanceof ArrayBuffer) return lineOf("x", g.toLatin1(new Uint8Array(value)));
    const json = stringify(value);
    if (json === undefined) throw new TypeError(`A body cannot be a ${typeof value}`);
    return lineOf("j", json);
  };

  /** In JSON that could be written otherwise: blanks, escapes, numbers with an exponent or a zero at the end. */
  const LOOSE = /[:,{[]\s|\\|\d[eE]|\.\d*0(?!\d)/;

  /** A body as JSON: parsed when asked for; sent on anew when it means something else then. */
  class JsonBody implements GuestBody {
    readonly #text: string;
    #value: unknown;
    #isRead = false;

    constructor(text: string) {
      this.#text = text;
    }

    get value(): unknown {
      if (!this.#isRead) {
        if (this.#text.trim() !== "") {
          try {
            this.#value = parse(this.#text);
          } catch {
            throw new BodyNotJson("The body is not valid JSON");
          }
        }
        this.#isRead = true;
      }
      return this.#value;
    }
    set value(value: unknown) {
      this.#value = value;
      this.#isRead = true;
    }
    edit(): string {
      if (!this.#isRead) return "";
      if (this.#value === undefined) return this.#text === "" ? "" : g.bodyLine(undefined);
      const json = stringify(this.#value);
      if (json === undefined) throw new TypeError(`A JSON body cannot be a ${typeof this.#value}`);
      return json === this.#text || this.#means(json) ? "" : lineOf("j", json);
    }
    /** The text may be spaced otherwise. */
    #means(json: string): boolean {
      if (json.length > this.#text.length || !LOOSE.test(this.#text)) return false;
      try {
        return stringify(parse(this.#text)) === json;
      } catch {
        return false;
      }
    }
  }

  /** A body as text or bytes. */
  class PlainBody implements GuestBody {
    readonly #given: unknown;
    readonly #before: string;
    value: unknown;

    constructor(value: string | Uint8Array, before: string) {
      this.#given = value;
      this.#before = before;
      this.value = value;
    }
    edit(): string {
      const { value } = this;
      const isSame =
        typeof value === "string" ? value === this.#before : value === this.#given && !this.#changed();
      return isSame ? "" : g.bodyLine(value);
    }
    #changed(): boolean {
      return this.#given instanceof Uint8Array && g.toLatin1(this.#given) !== this.#before;
    }
  }

  g.createBody = (kind, text) => {
    if (kind === "json") return new JsonBody(text);
    return kind === "text" ? new PlainBody(text, text) : new PlainBody(g.fromLatin1(text), text);
  };

  const NO_BODY = (side: string): never => {
    throw new TypeError(`The ${side}'s body is not read: declare body: { ${side}: "json" } in definePlugin`);
  };

  interface Meta {
    readonly ip: string;
    readonly id: string;
    readonly params: unknown;
    readonly consumer?: unknown;
  }

  /** What a URL cannot have is escaped, as browsers do; `%` stays as it is. */
  const urlOf = (value: unknown): string => {
    const given = String(value);
    if (given.length > URL_CHARS) throw new TypeError(`The url can have ${URL_CHARS} characters`);
    const url = given.toWellFormed();
    if (!/^\/[!-~\x80-\uffff]*$/.test(url) || url.includes("#")) {
      throw new TypeError("The url must be a path such as /users/7?full=1, without spaces and without #");
    }
    return url.replace(/["<>\\^`{}]|[^\0-\x7f]+/g, encodeURIComponent);
  };

  class Request {
    readonly #run: number;
    readonly #stage: GuestStage;
    /** Method, URL and headers. */
    readonly #text: string;
    readonly #body: GuestBody | undefined;
    /** Once it was asked for. */
    #known: string | undefined;
    #headers: object | undefined;
    #query: object | undefined;
    #isQueryDirty = false;
    #meta: Meta | undefined;

    constructor(run: number, stage: GuestStage, text: string, body: GuestBody | undefined) {
      this.#run = run;
      this.#stage = stage;
      this.#text = text;
      this.#body = body;
    }

    static editsOf(request: Request): string {
      let edits = request.#headers === undefined ? "" : g.headerEdits(request.#headers);
      if (request.#known !== undefined) {
        const { url } = request;
        if (url !== request.#before) edits += `u${url}\n`;
      }
      return request.#body === undefined ? edits : edits + request.#body.edit();
    }

    get #before(): string {
      const end = this.#text.indexOf("\n");
      return this.#text.slice(this.#text.indexOf(" ") + 1, end === -1 ? undefined : end);
    }
    get #url(): string {
      this.#known ??= this.#before;
      return this.#known;
    }
    get method(): string {
      return this.#text.slice(0, this.#text.indexOf(" "));
    }
    get headers(): object {
      this.#headers ??= g.createHeaders(this.#text, false);
      return this.#headers;
    }
    get url(): string {
      if (this.#isQueryDirty) {
        const search = String(this.#query);
        this.#known = search === "" ? this.path : `${this.path}?${search}`;
        this.#isQueryDirty = false;
      }
      return this.#url;
    }
    set url(value: unknown) {
      this.#known = urlOf(value);
      this.#isQueryDirty = false;
      if (this.#query !== undefined) g.refillSearchParams(this.#query, this.#search);
    }
    get path(): string {
      const mark = this.#url.indexOf("?");
      return mark === -1 ? this.#url : this.#url.slice(0, mark);
    }
    set path(value: unknown) {
      this.#known = urlOf(String(value).replaceAll("?", "%3F")) + this.#search;
    }
    get #search(): string {
      const mark = this.#url.indexOf("?");
      return mark === -1 ? "" : this.#url.slice(mark);
    }
    get query(): object {
      this.#query ??= g.createSearchParams(this.#search, () => {
        this.#isQueryDirty = true;
      });
      return this.#query;
    }
    get #facts(): Meta {
      this.#meta ??= parse(g.demand("meta", this.#run, "")) as Meta;
      return this.#meta;
    }
    get params(): unknown {
      return this.#facts.params;
    }
    get consumer(): unknown {
      return this.#facts.consumer;
    }
    get ip(): string {
      return this.#facts.ip;
    }
    get id(): string {
      return this.#facts.id;
    }
    get route(): string {
      return this.#stage.route;
    }
    get body(): unknown {
      return this.#body === undefined ? NO_BODY("request") : this.#body.value;
    }
    set body(value: unknown) {
      if (this.#body === undefined) NO_BODY("request");
      this.#body!.value = value;
    }
  }

  class Response {
    /** Status and headers. */
    readonly #text: string;
    readonly #body: GuestBody | undefined;
    /** One that was set. */
    #status: number | undefined;
    #headers: object | undefined;

    constructor(text: string, body: GuestBody | undefined) {
      this.#text = text;
      this.#body = body;
    }

    static editsOf(response: Response): string {
      let edits = response.#headers === undefined ? "" : g.headerEdits(response.#headers);
      const status = response.#status;
      if (status !== undefined && status !== response.#before) edits += `c${status}\n`;
      return response.#body === undefined ? edits : edits + response.#body.edit();
    }

    get #before(): number {
      return Number(this.#text.slice(0, 3));
    }
    get status(): number {
      return this.#status ?? this.#before;
    }
    set status(value: unknown) {
      this.#status = g.statusOf(value);
    }
    get headers(): object {
      this.#headers ??= g.createHeaders(this.#text, false);
      return this.#headers;
    }
    get body(): unknown {
      return this.#body === undefined ? NO_BODY("response") : this.#body.value;
    }
    set body(value: unknown) {
      if (this.#body === undefined) NO_BODY("response");
      this.#body!.value = value;
    }
  }

  const requestEdits = Request.editsOf;
  const responseEdits = Response.editsOf;
  delete (Request as Partial<typeof Request>).editsOf;
  delete (Response as Partial<typeof Response>).editsOf;

  g.statusOf = (value) => {
    if (typeof value === "number" && Number.isInteger(value) && value >= 200 && value <= 599) return value;
    throw new TypeError(`A status is a whole number from 200 to 599, not ${String(value)}`);
  };
  g.editsOf = (message) =>
    message instanceof Request ? requestEdits(message) : responseEdits(message as Response);
  g.createRequest = (run, stage, text, body) =>
    new Request(run, stage, text, body === undefined ? undefined : g.createBody(g.bodyKinds.request, body));
  g.createResponse = (text, body) =>
    new Response(text, body === undefined ? undefined : g.createBody(g.bodyKinds.response, body));
}
