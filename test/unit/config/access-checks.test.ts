import { expect, it } from "vitest";
import { parseConfig } from "../../../src/config/load.ts";

const file = (api: string, more = "") => `networks:
  - name: prov
    interface: eth1
    address: 10.20.0.1
    subnet: 10.20.0.0/24
    portals: [{ address: 10.20.0.1 }]
    tgtd: { control: 1 }
api: ${api}
${more}`;
const HIL = "isolation: { hil: { url: 'http://hil.example:5000' } }";
const OIDC = "issuer: https://login.example, audience: ingot";

it.each([
  ["{ authenticators: [hil] }", HIL],
  [`{ authenticators: [oidc, hil], oidc: { ${OIDC}, roles: [{ group: a, role: member, project: lab }] } }`, HIL],
  ["{ oidc: { issuer: 'http://127.0.0.1:8080/realm', jwksUrl: 'http://localhost/keys' } }", ""],
  ["{ hil: { roles: [{ user: ada, role: admin }] } }", ""],
])("takes %s", (api, more) => {
  expect(() => parseConfig(file(api, more), "ingot.yaml")).not.toThrow();
});

it.each([
  ["{ authenticators: [hil] }", /api\.authenticators.*isolation\.hil\.url/s],
  ["{ authenticators: [oidc] }", /api\.oidc\.issuer.*api\.oidc\.audience/s],
  [`{ authenticators: [oidc, oidc], oidc: { ${OIDC} } }`, /listed twice/],
  ["{ authenticators: [ldap] }", /api\.authenticators/],
  ["{ oidc: { issuer: 'http://login.example' } }", /api\.oidc\.issuer.*https/s],
  ["{ oidc: { jwksUrl: 'http://login.example/keys' } }", /api\.oidc\.jwksUrl.*https/s],
  ["{ oidc: { algorithms: [none] } }", /api\.oidc\.algorithms/],
  ["{ oidc: { algorithms: [HS256] } }", /api\.oidc\.algorithms/],
  ["{ oidc: { algorithms: [] } }", /api\.oidc\.algorithms/],
  ["{ oidc: { roles: [{ group: a, role: member }] } }", /api\.oidc\.roles\[0\]\.project.*name it/s],
  ["{ hil: { roles: [{ user: a, role: admin, project: lab }] } }", /api\.hil\.roles\[0\]\.project.*remove it/s],
])("refuses %s, and names the key", (api, says) => {
  expect(() => parseConfig(file(api), "ingot.yaml")).toThrow(says);
});
