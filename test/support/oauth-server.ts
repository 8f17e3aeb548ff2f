/** An OAuth 2.0 authorization server, as far as the gateway asks one. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { startUpstream } from "./upstream.ts";

export interface OAuthQuestion {
  readonly url: string;
  readonly headers: IncomingMessage["headers"];
  readonly form: Record<string, string>;
}

export interface FakeOAuthServer {
  readonly url: string;
  /** Forms that came. */
  readonly asked: OAuthQuestion[];
  /** How often it was asked where to ask. */
  discoveries: number;
  /** Answers a form: an object as JSON, or by itself. */
  answer: (question: OAuthQuestion, response: ServerResponse) => object | undefined;
  /** What it publishes; undefined for what is right. */
  published: object | string | undefined;
  /** Status that it publishes with. */
  publishedStatus: number;
  close(): Promise<void>;
}

export async function startOAuthServer(): Promise<FakeOAuthServer> {
  const listener = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    if (request.url === "/.well-known/openid-configuration") {
      fake.discoveries++;
      const { url } = server;
      const right = {
        issuer: url,
        introspection_endpoint: `${url}/introspect`,
        token_endpoint: `${url}/token`,
      };
      const document = fake.published ?? right;
      response.statusCode = fake.publishedStatus;
      return void response.end(typeof document === "string" ? document : JSON.stringify(document));
    }
    let body = "";
    for await (const chunk of request) body += String(chunk);
    const question = {
      url: `${request.method} ${request.url}`,
      headers: request.headers,
      form: Object.fromEntries(new URLSearchParams(body)),
    };
    fake.asked.push(question);
    const answer = fake.answer(question, response);
    if (answer !== undefined) response.end(JSON.stringify(answer));
  };
  const server = await startUpstream((request, response) => void listener(request, response).catch(() => {}));
  const fake: FakeOAuthServer = {
    url: server.url,
    asked: [],
    discoveries: 0,
    answer: () => ({}),
    published: undefined,
    publishedStatus: 200,
    close: server.close,
  };
  return fake;
}
