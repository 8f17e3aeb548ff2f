/** Which targets EndpointSlices of a service stand for (discovery.k8s.io/v1). */
import type { SourceConfig } from "./discovery.ts";
import { type Found, targetUrl } from "./source.ts";

type KubernetesConfig = Extract<SourceConfig, { kubernetes: unknown }>;

/** What matters of an EndpointSlice. */
export interface EndpointSlice {
  readonly metadata?: { readonly name?: string; readonly resourceVersion?: string };
  readonly addressType?: string;
  readonly endpoints?: readonly Address[] | null;
  readonly ports?: readonly Port[] | null;
}

interface Address {
  readonly addresses?: readonly string[];
  readonly conditions?: {
    readonly ready?: boolean | null;
    readonly serving?: boolean | null;
    readonly terminating?: boolean | null;
  };
}

interface Port {
  readonly name?: string | null;
  readonly port?: number | null;
  readonly protocol?: string | null;
}

/**
 * The addresses that are ready. Where none is, those that still serve while they terminate, as kube-proxy does:
 * otherwise nothing would answer while the only pod of a service is replaced.
 * @throws Error when it is not clear which port is meant
 */
export function targetsOf(slices: Iterable<EndpointSlice>, config: KubernetesConfig): Found[] {
  const used = ofFamily([...slices].filter(hasAddresses), config.kubernetes.family);
  const ready = used.flatMap((slice) => pick(slice, isReady, config));
  const found = ready.length > 0 ? ready : used.flatMap((slice) => pick(slice, isLeaving, config));
  if (found.length > 0 && found.every((each) => each === undefined)) throw portProblem(used, config);
  return found.filter((each) => each !== undefined);
}

const hasAddresses = ({ endpoints }: EndpointSlice): boolean => (endpoints ?? []).length > 0;

const isReady = ({ conditions }: Address): boolean => conditions?.ready !== false;

const isLeaving = ({ conditions }: Address): boolean =>
  conditions?.serving === true && conditions.terminating === true;

/** A service of both families lists each pod twice. */
function ofFamily(
  slices: EndpointSlice[],
  family: KubernetesConfig["kubernetes"]["family"],
): EndpointSlice[] {
  const hasIpv4 = slices.some(({ addressType }) => addressType === "IPv4");
  const unwanted = family === "ipv6" ? "IPv4" : family === "ipv4" || hasIpv4 ? "IPv6" : undefined;
  return slices.filter(({ addressType }) => addressType !== unwanted);
}

/** Targets of the addresses that meet `test`; undefined for those without the port. */
function pick(
  slice: EndpointSlice,
  test: (address: Address) => boolean,
  config: KubernetesConfig,
): (Found | undefined)[] {
  const port = portOf(slice, config.kubernetes.port);
  return (slice.endpoints ?? []).filter(test).map(({ addresses = [] }) => {
    // No meaning is defined for other addresses than the first; kube-proxy does not look at them either.
    const url = port === undefined ? undefined : targetUrl(config, addresses[0] ?? "", port);
    return url === undefined ? undefined : { url, weight: 1 };
  });
}

const tcpPorts = ({ ports }: EndpointSlice): Port[] =>
  (ports ?? []).filter(({ protocol }) => (protocol ?? "TCP") === "TCP");

/** The port to use of a slice; undefined when it does not have it. */
function portOf(slice: EndpointSlice, wanted: string | number | undefined): number | undefined {
  const ports = tcpPorts(slice);
  if (typeof wanted === "number") {
    // No ports at all, or one without a number, stand for any port.
    const has = (slice.ports ?? []).length === 0 || ports.some(({ port }) => (port ?? wanted) === wanted);
    return has ? wanted : undefined;
  }
  if (wanted === undefined) return ports.length === 1 ? (ports[0]!.port ?? undefined) : undefined;
  return ports.find(({ name }) => name === wanted)?.port ?? undefined;
}

function portProblem(slices: readonly EndpointSlice[], { kubernetes }: KubernetesConfig): Error {
  const { service, port } = kubernetes;
  const known = slices.flatMap(tcpPorts).map((each) => `${each.name || "unnamed"} (${each.port ?? "any"})`);
  const all = [...new Set(known)].sort().join(", ");
  const has = all === "" ? "the pods list none" : `the pods have ${all}`;
  return new Error(
    port === undefined
      ? `The service ${service} does not have one port: ${has}; say which with \`port\``
      : `The pods of the service ${service} have no port ${JSON.stringify(port)}: ${has}`,
  );
}
