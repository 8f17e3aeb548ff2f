/** As much of a browser as a login needs: it follows redirects, and keeps cookies by origin. */
export type Send = (url: URL, init: { method: string; headers: Headers; body?: string }) => Promise<Response>;

export interface Page {
  readonly url: string;
  readonly status: number;
  readonly headers: Headers;
  readonly body: string;
}

const MOST_REDIRECTS = 12;
export const HTML = {
  accept: "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8",
  "sec-fetch-mode": "navigate",
};

export class Browser {
  /** Cookies by origin and name. */
  readonly cookies = new Map<string, Map<string, string>>();
  /** What was asked, in order. */
  readonly trail: string[] = [];
  readonly #send: Send;

  /** @param send by default over the network */
  constructor(send: Send = (url, init) => fetch(url, { ...init, redirect: "manual" })) {
    this.#send = send;
  }

  /** Opens a page, and follows where it leads. */
  async open(url: string, until = ""): Promise<Page> {
    let page = await this.ask(url);
    for (let i = 0; i < MOST_REDIRECTS; i++) {
      const location = page.headers.get("location");
      if (location === null || (until !== "" && location.includes(until))) return page;
      page = await this.ask(new URL(location, page.url).href);
    }
    throw new Error(`too many redirects: ${this.trail.join(" ")}`);
  }

  /** One request. */
  async ask(
    url: string,
    headers: Record<string, string> = HTML,
    form?: Record<string, string>,
  ): Promise<Page> {
    const target = new URL(url);
    const sent = new Headers(headers);
    const own = this.of(target.origin);
    if (own.size > 0) sent.set("cookie", [...own].map(([name, value]) => `${name}=${value}`).join("; "));
    this.trail.push(`${form === undefined ? "GET" : "POST"} ${target.origin}${target.pathname}`);
    if (form !== undefined) sent.set("content-type", "application/x-www-form-urlencoded");
    const body = form === undefined ? {} : { body: new URLSearchParams(form).toString() };
    const method = form === undefined ? "GET" : "POST";
    const reply = await this.#send(target, { method, headers: sent, ...body });
    for (const line of reply.headers.getSetCookie()) keep(own, line);
    return { url, status: reply.status, headers: reply.headers, body: await reply.text() };
  }

  /** Cookies of an origin, by name. */
  of(origin: string): Map<string, string> {
    let own = this.cookies.get(origin);
    if (own === undefined) this.cookies.set(origin, (own = new Map()));
    return own;
  }
}

function keep(cookies: Map<string, string>, line: string): void {
  const [pair = "", ...attributes] = line.split(";");
  const at = pair.indexOf("=");
  const name = pair.slice(0, at).trim();
  const isOver = attributes.some((each) => {
    const [key = "", value = ""] = each.trim().toLowerCase().split("=");
    return (
      (key === "max-age" && Number(value) <= 0) || (key === "expires" && Date.parse(value) <= Date.now())
    );
  });
  if (isOver) cookies.delete(name);
  else cookies.set(name, pair.slice(at + 1).trim());
  // Longer ones are not kept by any browser.
  if (line.length > 4096) cookies.delete(name);
}
