import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { HeaderList } from "../../../core/headers.ts";
import {
  parseComponent,
  readComponent,
  type SignedRequest,
} from "../../../core/http-signatures/components.ts";
import { signatureBase } from "../../../core/http-signatures/signature-base.ts";
import {
  readDictionary,
  type InnerList,
  type Item,
} from "../../../core/http-signatures/structured-fields.ts";
import type { ConfigError } from "../../../core/plugin.ts";

function request(change: Partial<SignedRequest> = {}, ...headers: string[]): SignedRequest {
  return {
    method: "GET",
    scheme: "https",
    authority: "www.example.com",
    path: "/path",
    search: "?param=value",
    headers: new HeaderList(headers),
    ...change,
  };
}

const inputOf = (list: string): InnerList => readDictionary(`sig=${list}`)!.get("sig") as InnerList;
const read = (component: string, from: SignedRequest): string | undefined =>
  readComponent(inputOf(`(${component})`)[0][0] as Item, from);

describe("derived components, as in section 2.2", () => {
  it.each([
    ['"@method"', {}, "GET"],
    ['"@target-uri"', {}, "https://www.example.com/path?param=value"],
    ['"@target-uri"', { authority: "WWW.example.com:443", path: "", search: "" }, "https://www.example.com/"],
    ['"@authority"', {}, "www.example.com"],
    ['"@authority"', { authority: "WWW.Example.com:443" }, "www.example.com"],
    ['"@authority"', { authority: "example.com:443", scheme: "http" }, "example.com:443"],
    ['"@authority"', { authority: "example.com:80", scheme: "http" }, "example.com"],
    ['"@authority"', { authority: "[2001:DB8::1]:8443" }, "[2001:db8::1]:8443"],
    ['"@scheme"', {}, "https"],
    ['"@request-target"', {}, "/path?param=value"],
    ['"@path"', { path: "" }, "/"],
    ['"@path"', { path: "/a/../b%2fc" }, "/a/../b%2fc"],
    ['"@query"', { search: "?param=value&foo=bar&baz=bat%2Dman" }, "?param=value&foo=bar&baz=bat%2Dman"],
    ['"@query"', { search: "" }, "?"],
    ['"@query"', { search: "?" }, "?"],
  ])("%s of %j is %s", (component, change, value) => expect(read(component, request(change))).toBe(value));

  const search =
    "?var=this%20is%20a%20big%0Amultiline%20value&bar=with+plus+whitespace&fa%C3%A7ade%22%3A%20=something&qux=&o=(!~'*)";
  it.each([
    ["var", "this%20is%20a%20big%0Amultiline%20value"],
    ["bar", "with%20plus%20whitespace"],
    ["fa%C3%A7ade%22%3A%20", "something"],
    ["qux", ""],
    ["o", "%28%21%7E%27*%29"],
  ])("@query-param %s is %j", (name, value) => {
    expect(read(`"@query-param";name="${name}"`, request({ search }))).toBe(value);
  });

  it.each([
    ["a parameter that is not there", '"@query-param";name="b"', "?a=1"],
    ["one that is there twice", '"@query-param";name="a"', "?a=1&%61=2"],
    ["one without a name", '"@query-param"', "?a=1"],
    ["a name that is no text", '"@query-param";name=a', "?a=1"],
    ["a name that is not encoded", '"@query-param";name="a b"', "?a%20b=1"],
  ])("@query-param of %s is nothing", (_, component, query) => {
    expect(read(component, request({ search: query }))).toBeUndefined();
  });

  it.each([
    '"@status"',
    '"@signature-params"',
    '"@method";req',
    '"@method";sf',
    '"@Method"',
    '"@unknown"',
    "1",
    "method",
  ])("%s is nothing", (component) => expect(read(component, request())).toBeUndefined());
});

describe("header fields, as in section 2.1", () => {
  const fields = request(
    {},
    ...["X-OWS-Header", "  Leading and trailing whitespace.\t", "X-Empty", ""],
    ...["Cache-Control", "max-age=60", "Cache-Control", "   must-revalidate"],
    ...["Example-Dict", "  a=1,    b=2;x=1;y=2,   c=(a   b   c), d", "Priority", "u=1,  i=?1"],
    ...["Example-Header", "value, with, lots", "Example-Header", "of, commas", "X-Bytes", "caf\xe9"],
  );

  it.each([
    ['"x-ows-header"', "Leading and trailing whitespace."],
    ['"x-empty"', ""],
    ['"cache-control"', "max-age=60, must-revalidate"],
    ['"example-dict"', "a=1,    b=2;x=1;y=2,   c=(a   b   c), d"],
    ['"example-dict";key="a"', "1"],
    ['"example-dict";key="b"', "2;x=1;y=2"],
    ['"example-dict";key="c"', "(a b c)"],
    ['"example-dict";key="d"', "?1"],
    ['"priority";sf', "u=1, i"],
    ['"example-header"', "value, with, lots, of, commas"],
    ['"example-header";bs', ":dmFsdWUsIHdpdGgsIGxvdHM=:, :b2YsIGNvbW1hcw==:"],
    ['"x-bytes";bs', ":Y2Fm6Q==:"],
  ])("%s is %j", (component, value) => expect(read(component, fields)).toBe(value));

  it.each([
    ['"x-absent"', "is not there"],
    ['"X-Empty"', "is not in lower case"],
    ['"x-empty";tr', "is a trailer"],
    ['"x-empty";req', "is of another request"],
    ['"x-empty";unknown', "has a parameter that nobody knows"],
    ['"example-dict";sf', "is of an unknown type"],
    ['"example-dict";key="e"', "has no such member"],
    ['"example-dict";key=a', "has a key that is no text"],
    ['"example-dict";bs;sf', "is two things at once"],
    ['"x-ows-header";key="a"', "is no dictionary"],
    ['"x-bytes"', "has bytes that are no ASCII"],
  ])("%s, which %s, is nothing", (component) => expect(read(component, fields)).toBeUndefined());
});

describe("a signature base", () => {
  it("cannot be had of a component twice, nor of very many", () => {
    expect(signatureBase(inputOf('("@method" "@method")'), request())).toBeUndefined();
    const headers = Array.from({ length: 65 }, (_, i) => `h${i}`);
    const fields = request({}, ...headers.flatMap((name) => [name, "1"]));
    const list = (names: string[]): InnerList => inputOf(`(${names.map((name) => `"${name}"`).join(" ")})`);
    expect(signatureBase(list(headers.slice(1)), fields)).toBeTypeOf("string");
    expect(signatureBase(list(headers), fields)).toBeUndefined();
  });

  it("differs whenever a value does", () => {
    const text = fc.string({ unit: "grapheme-ascii", maxLength: 20 });
    const message = fc.record({
      "x-a": text,
      "x-b": text,
      search: fc.string({ unit: fc.constantFrom("a", "=", "&", "%41"), maxLength: 8 }),
    });
    const base = ({ search, ...headers }: { search: string; "x-a": string; "x-b": string }): string =>
      signatureBase(
        inputOf('("x-a" "x-b" "@query")'),
        request({ search: `?${search}` }, ...Object.entries(headers).flat()),
      )!;
    fc.assert(
      fc.property(message, message, (a, b) => {
        const same =
          a["x-a"].trim() === b["x-a"].trim() && a["x-b"].trim() === b["x-b"].trim() && a.search === b.search;
        expect(base(a) === base(b)).toBe(same);
      }),
    );
  });
});

describe("a component of a configuration", () => {
  it("is written as signatures have it", () => {
    expect(parseComponent("@method", "").text).toBe('"@method"');
    expect(parseComponent('@query-param;name="id"', "").text).toBe('"@query-param";name="id"');
    expect(parseComponent('priority;key="u"', "").text).toBe('"priority";key="u"');
  });

  it.each([
    "",
    "@status",
    "@signature-params",
    "@query-param",
    "@query-param;name=id",
    "Content-Type",
    "content type",
    'x-a";sf',
    "x-a;tr",
    "x-a;sf",
    "x-a;key",
    "x-a;bs;sf",
  ])("cannot be %j", (option) => {
    let problem: unknown;
    try {
      parseComponent(option, "/components/0");
    } catch (error) {
      problem = (error as ConfigError).problems[0];
    }
    expect(problem).toMatchObject({ code: "CONFIG_VALUE", pointer: "/components/0" });
  });
});
