/** The cookies of a login, as the browser keeps them: the session in up to three, and one for each login under way. */
import { takeCookieFamily } from "../../core/cookies.ts";
import type { HeaderList } from "../../core/plugin.ts";
import { compileSetCookie, type SetCookieFormat } from "../../core/set-cookie.ts";

/** Of a value. Browsers take 4096 bytes for a cookie with its name and attributes. */
const MOST_CHARS = 3600;
/** What the names of a session's cookies end in. More would fill the headers that servers take. */
const SUFFIXES: readonly string[] = ["", ".1", ".2"];
const LOGIN_SUFFIX = /^\.login-([\w-]{22})$/;
/** Logins under way in a browser. When there are more, those before are given up. */
const MOST_LOGINS = 5;

const LOGIN_SECONDS = 600;
export const LOGIN_MS = LOGIN_SECONDS * 1000;

export interface CookieOptions {
  readonly name: string;
  readonly domain?: string;
  readonly secure: "auto" | boolean;
}

/** What a request had. */
export interface Taken {
  /** Sealed; undefined when there is none that is whole. */
  readonly session: string | undefined;
  /** Cookies that the session lies in, right or wrong. */
  readonly chunks: readonly string[];
  /** Logins under way, sealed, by their state. */
  readonly logins: ReadonlyMap<string, string>;
}

const NOTHING: Taken = { session: undefined, chunks: [], logins: new Map() };

export class Jar {
  readonly #format: SetCookieFormat;

  /** @throws ConfigError */
  constructor({ name, ...options }: CookieOptions) {
    const fixed = { path: "/", httpOnly: true, sameSite: "lax" } as const;
    this.#format = compileSetCookie(name, { ...options, ...fixed }, "/cookie", "name");
  }

  /** Takes all from a request, so that the upstream does not get them. */
  take(headers: HeaderList): Taken {
    const { name } = this.#format;
    const found = takeCookieFamily(headers, name);
    if (found.length === 0) return NOTHING;
    const values = new Map<string, string>();
    const chunks: string[] = [];
    const logins = new Map<string, string>();
    let isAmbiguous = false;
    for (let i = 0; i < found.length; i += 2) {
      const suffix = found[i]!.slice(name.length);
      const value = found[i + 1]!;
      const state = LOGIN_SUFFIX.exec(suffix)?.[1];
      if (state !== undefined) logins.set(state, value);
      if (!SUFFIXES.includes(suffix)) continue;
      if (values.has(suffix))
        isAmbiguous = true; // nobody can tell which counts
      else chunks.push(found[i]!);
      values.set(suffix, value);
    }
    let session = "";
    for (const suffix of SUFFIXES) {
      const value = values.get(suffix);
      if (value === undefined) break;
      session += value;
    }
    const isWhole = session !== "" && session.length <= SUFFIXES.length * MOST_CHARS && !isAmbiguous;
    return { session: isWhole ? session : undefined, chunks, logins };
  }

  /** Set-Cookie for a session; undefined when it is too large. */
  setSession(sealed: string, taken: Taken, isSecure: boolean): string[] | undefined {
    const count = Math.ceil(sealed.length / MOST_CHARS);
    if (count > SUFFIXES.length) return undefined;
    const { name } = this.#format;
    const lines = Array.from({ length: count }, (_, i) =>
      this.#write(name + SUFFIXES[i], sealed.slice(i * MOST_CHARS, (i + 1) * MOST_CHARS), "", isSecure),
    );
    const written = lines.map((_, i) => name + SUFFIXES[i]);
    return [...lines, ...this.#remove(taken.chunks, written, isSecure)];
  }

  removeSession({ chunks }: Taken, isSecure: boolean): string[] {
    return this.#remove(chunks, [], isSecure);
  }

  setLogin(state: string, sealed: string, { logins }: Taken, isSecure: boolean): string[] {
    const old = logins.size < MOST_LOGINS ? [] : [...logins.keys()];
    const line = this.#write(this.#loginName(state), sealed, `; Max-Age=${LOGIN_SECONDS}`, isSecure);
    return [line, ...old.flatMap((each) => this.removeLogin(each, isSecure))];
  }

  removeLogin(state: string, isSecure: boolean): string[] {
    return this.#remove([this.#loginName(state)], [], isSecure);
  }

  #loginName(state: string): string {
    return `${this.#format.name}.login-${state}`;
  }

  #remove(names: readonly string[], but: readonly string[], isSecure: boolean): string[] {
    return names
      .filter((name) => !but.includes(name))
      .map((name) => this.#write(name, "", "; Max-Age=0", isSecure));
  }

  #write(name: string, value: string, life: string, isSecure: boolean): string {
    const { attributes, secureAttributes } = this.#format;
    return `${name}=${value}${life}${isSecure ? secureAttributes : attributes}`;
  }
}
