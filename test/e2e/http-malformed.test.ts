/** Heads that are not HTTP, or mean two things: refused, never forwarded. Sections are RFC 9112's unless said. */
import type { ErrorCode } from "../../core/errors.ts";
import { describeRows, type Row } from "../support/refusals.ts";

const HOST = "Host: a.test\r\n";
/** A GET whose header section is `lines`. */
const head = (lines: string): string => `GET / HTTP/1.1\r\n${lines}\r\n`;
/** A GET with one more header line. */
const field = (line: string): string => head(`${HOST}${line}\r\n`);
/** A GET of `target`. */
const target = (text: string): string => `GET ${text} HTTP/1.1\r\n${HOST}\r\n`;
/** A request line of one's own. */
const line = (text: string): string => `${text}\r\n${HOST}\r\n`;

const refuse = (status: number, code: ErrorCode, cases: Record<string, string>): Row[] =>
  Object.entries(cases).map(([name, send]) => ({ name, send, status, code }));

describeRows(
  "Host (3.2)",
  refuse(400, "HOST_INVALID", {
    "no Host": head(""),
    "two Hosts that agree": head("Host: a.test\r\nHost: a.test\r\n"),
    "two Hosts that differ": head("Host: a.test\r\nHost: b.test\r\n"),
    "two Hosts in other cases": head("Host: a.test\r\nhOST: b.test\r\n"),
    "an empty Host": head("Host:\r\n"),
    "a Host of spaces": head("Host:   \r\n"),
    "userinfo in Host": head("Host: user:secret@a.test\r\n"),
    "a path in Host": head("Host: a.test/admin\r\n"),
    "a query in Host": head("Host: a.test?x\r\n"),
    "a fragment in Host": head("Host: a.test#x\r\n"),
    "a scheme in Host": head("Host: http://a.test\r\n"),
    "a list in Host": head("Host: a.test, b.test\r\n"),
    "a space in Host": head("Host: a.test b.test\r\n"),
    "a backslash in Host": head("Host: a.test\\b\r\n"),
    "a percent-encoded Host": head("Host: a%2etest\r\n"),
    "a Host of high bytes": head("Host: \xe9.test\r\n"),
    "a port that is no number": head("Host: a.test:http\r\n"),
    "an empty port": head("Host: a.test:\r\n"),
    "a port above 65535": head("Host: a.test:65536\r\n"),
    "two ports": head("Host: a.test:80:81\r\n"),
    "a bad IPv6": head("Host: [::::]\r\n"),
    "an IPv6 that is not closed": head("Host: [::1\r\n"),
    "an IPv6 without brackets": head("Host: ::1\r\n"),
    "an IPv6 with a zone": head("Host: [fe80::1%25eth0]\r\n"),
    "a leading dot": head("Host: .a.test\r\n"),
    "absolute-form without Host": "GET http://a.test/ HTTP/1.1\r\n\r\n",
    "absolute-form with two Hosts": "GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n",
  }),
);

describeRows("Request targets (3.2)", [
  ...refuse(400, "REQUEST_TARGET_INVALID", {
    "authority-form without CONNECT": target("a.test:80"),
    "a target without a slash": target("index.html"),
    "`*` without OPTIONS": target("*"),
    "absolute-form with userinfo": target("http://user@a.test/"),
    "absolute-form without a host": target("http:///x"),
    "absolute-form with a bad port": target("http://a.test:99999/"),
    "absolute-form of another scheme": target("ftp://a.test/"),
    "absolute-form of https over plain TCP (RFC 9110 7.4)": target("https://a.test/"),
    "NUL in the target": target("/a\x00b"),
    "a tab in the target": target("/a\tb"),
    "a form feed in the target": target("/a\fb"),
    "DEL in the target": target("/a\x7fb"),
    "high bytes in the target": target("/caf\xe9"),
    "an encoded NUL": target("/a%00b"),
    "a backslash": target("/a\\b"),
    "a fragment": target("/a#b"),
    "a dot segment": target("/a/./b"),
    "two dots": target("/a/../b"),
    "two dots at the end": target("/a/.."),
    "two dots before a query": target("/a/..?x"),
    "two dots with a parameter": target("/a/..;x/b"),
    "encoded dots": target("/a/%2e%2E/b"),
    "half-encoded dots": target("/a/.%2e/b"),
    "dots before an encoded slash": target("/a/..%2fb"),
    "dots after an encoded slash": target("/a%2F../b"),
    "dots before an encoded backslash": target("/a/..%5cb"),
    "dots in absolute-form": target("http://a.test/a/../b"),
  }),
  ...refuse(431, "HEADERS_TOO_LARGE", { "a very long target": target(`/${"a".repeat(40_000)}`) }),
  {
    name: "`OPTIONS *` is the gateway's own",
    send: line("OPTIONS * HTTP/1.1"),
    status: 204,
    staysOpen: true,
  },
]);

describeRows("Request lines (3)", [
  ...refuse(400, "REQUEST_INVALID", {
    "a space in the target": line("GET /a b HTTP/1.1"),
    "tabs between the parts": line("GET\t/\tHTTP/1.1"),
    "a space before the method": line(" GET / HTTP/1.1"),
    "no version": line("GET / "),
    "a version in lower case": line("GET / http/1.1"),
    "a method that is no token": line("G@T / HTTP/1.1"),
    "a method in lower case": line("get / HTTP/1.1"),
    "a method nobody knows": line("FROBNICATE / HTTP/1.1"),
    "no method": line("/ HTTP/1.1"),
    "NUL in the method": line("G\x00T / HTTP/1.1"),
    garbage: "\x00\x01\x02\xff\xfe\xfd\r\n\r\n",
    "a TLS ClientHello": "\x16\x03\x01\x00\xf4\x01\x00\x00\xf0\x03\x03",
    "a proxy protocol header": `PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n${head(HOST)}`,
  }),
  ...refuse(505, "VERSION_UNSUPPORTED", {
    "HTTP/0.9": "GET /\r\n\r\n",
    "the preface of HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/2.0": line("GET / HTTP/2.0"),
    "HTTP/1.2": line("GET / HTTP/1.2"),
    "HTTP/3.1": line("GET / HTTP/3.1"),
    "HTTP/01.1": line("GET / HTTP/01.1"),
    "HTTP/1.1x": line("GET / HTTP/1.1x"),
  }),
  ...refuse(501, "METHOD_UNSUPPORTED", {
    "CONNECT (RFC 9110 9.3.6)": "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n",
    "CONNECT with a path": "CONNECT /a HTTP/1.1\r\nHost: a.test\r\n\r\n",
  }),
]);

describeRows("Field lines (5)", [
  ...refuse(400, "REQUEST_INVALID", {
    "bare LF after a field (2.2)": "GET / HTTP/1.1\r\nHost: a.test\nX: y\r\n\r\n",
    "bare LF after the last field": "GET / HTTP/1.1\r\nHost: a.test\r\n\n",
    "bare CR after a field (2.2)": "GET / HTTP/1.1\r\nHost: a.test\rX: y\r\n\r\n",
    "bare CR in a value": field("X: a\rb"),
    "a line folded by a space (5.2)": field("X: a\r\n b"),
    "a line folded by a tab (5.2)": field("X: a\r\n\tb"),
    "a folded Host": head("Host: a.test\r\n .evil.test\r\n"),
    "a space before the first field (2.2)": head(` ${HOST}`),
    "a space before the colon (5.1)": field("X : a"),
    "a space before the colon of Host": head("Host : a.test\r\n"),
    "a tab before the colon": field("X\t: a"),
    "a space in a name": field("X Y: a"),
    "an empty name": field(": a"),
    "no colon": field("XY"),
    "NUL in a name": field("X\x00Y: a"),
    "a high byte in a name": field("X\xe9: a"),
    "parentheses in a name": field("X(a): a"),
    "NUL in a value (RFC 9110 5.5)": field("X: a\x00b"),
    "a control character in a value": field("X: a\x01b"),
    "ESC in a value": field("X: \x1b[2J"),
    "DEL in a value": field("X: a\x7fb"),
    "Connection names Host (RFC 9110 7.6.1)": field("Connection: host"),
    "Connection names Transfer-Encoding": field("Connection: close, Transfer-Encoding"),
    "Connection names Content-Length": `POST / HTTP/1.1\r\n${HOST}Connection: content-length\r\nContent-Length: 1\r\n\r\na`,
  }),
  ...refuse(431, "HEADERS_TOO_LARGE", {
    "a very long value": field(`X: ${"a".repeat(40_000)}`),
    "a very long name": field(`${"a".repeat(40_000)}: x`),
    "headers that are too large together": field(
      Array(190)
        .fill(`X: ${"a".repeat(200)}`)
        .join("\r\n"),
    ),
    "201 header lines": field(Array(200).fill("X: a").join("\r\n")),
  }),
  ...refuse(505, "VERSION_UNSUPPORTED", {
    "bare LF after the request line (2.2)": "GET / HTTP/1.1\nHost: a.test\n\n",
  }),
  ...refuse(417, "EXPECTATION_FAILED", {
    "an unknown expectation (RFC 9110 10.1.1)": field("Expect: 200-ok"),
    "an unknown expectation beside 100-continue": field("Expect: 100-continue, x"),
  }),
]);

const serve = (seen: string, cases: Record<string, string>): Row[] =>
  Object.entries(cases).map(([name, send]) => ({ name, send, status: 200, staysOpen: true, seen: [seen] }));

describeRows("Odd heads that are in order", [
  ...serve("GET /", {
    "an empty line before the request (2.2)": `\r\n${head(HOST)}`,
    "no space after a colon": head("Host:a.test\r\n"),
    "tabs around a value (5)": head("Host:\t a.test \t\r\n"),
    "a Host with a port": head("Host: a.test:8080\r\n"),
    "an IPv6 Host": head("Host: [2001:db8::1]:8080\r\n"),
    "an empty value": field("X:"),
    "absolute-form without a path": target("http://a.test"),
    "absolute-form with a scheme in capitals": target("HTTP://a.test/"),
    "200 header lines": field(Array(199).fill("X: a").join("\r\n")),
  }),
  ...serve("GET /a?b=/../c", { "dots in the query": target("/a?b=/../c") }),
  ...serve("GET /?q", { "absolute-form with a query alone": target("http://a.test?q") }),
  ...serve("GET /a/...", { "three dots": target("/a/...") }),
  ...serve("GET /%zz%2f", { "escapes that are none, and an encoded slash": target("/%zz%2f") }),
]);
