/** All that are compared, in the order of the tables. */
import type { Contender } from "../contender.ts";
import { caddy, krakend, traefik } from "./go.ts";
import { haproxy, haproxyCached, haproxyGuarded } from "./haproxy.ts";
import { nginxBare, nginxCached, nginxGuarded, nginxJs, nginxLua } from "./nginx.ts";
import {
  expressGateway,
  expressGatewayGuarded,
  fastGateway,
  fastifyHttpProxy,
  httpProxy,
} from "./packages.ts";
import { sluiceBare, sluiceCached, sluiceEdits, sluiceGuarded, sluiceScript } from "./sluice.ts";

export const contenders: readonly Contender[] = [
  sluiceBare,
  nginxBare,
  haproxy,
  caddy,
  traefik,
  krakend,
  fastifyHttpProxy,
  fastGateway,
  httpProxy,
  expressGateway,
  sluiceEdits,
  sluiceScript,
  nginxJs,
  nginxLua,
  sluiceGuarded,
  nginxGuarded,
  haproxyGuarded,
  expressGatewayGuarded,
  sluiceCached,
  nginxCached,
  haproxyCached,
];
