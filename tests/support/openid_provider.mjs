// An OpenID provider on loopback: the package oidc-provider with its own pages of sign-in and consent.
// It prints its address, and takes commands as lines of JSON: {"redirect": "http://…"} or {"rotate": true}.
import { createServer } from "node:http";
import { generateKeyPairSync } from "node:crypto";
import { createInterface } from "node:readline";
import Provider from "oidc-provider";

console.info = console.error; // its notices go there, and what is printed is ours
const people = JSON.parse(process.argv[2]); // what is said of each, by the name that they type
const redirects = [];
const clients = [
  { client_id: "gateway", client_secret: "secret of %&:+ the gateway", redirect_uris: ["http://127.0.0.1/cb"] },
  { client_id: "public", token_endpoint_auth_method: "none", redirect_uris: ["http://127.0.0.1/cb"] },
];
let number = 0;

function key() {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  number += 1;
  return { ...privateKey.export({ format: "jwk" }), use: "sig", alg: "RS256", kid: `key ${number}` };
}

function begin(issuer) {
  const provider = new Provider(issuer, {
    clients,
    jwks: { keys: [key()] },
    cookies: { keys: ["cookies of the test"] },
    claims: { openid: ["sub"], profile: ["preferred_username", "name"], email: ["email", "email_verified"],
              roles: ["realm_access"] },
    scopes: ["openid", "profile", "email", "roles"],
    conformIdTokenClaims: process.argv[3] !== "in the token",
    findAccount: (context, id) => ({ accountId: id, claims: () => ({ sub: id, ...people[id] }) }),
  });
  provider.Client.prototype.redirectUriAllowed = (uri) => redirects.includes(uri);
  provider.on("server_error", (context, error) => console.error(error));
  return provider.callback();
}

let serve;
const server = createServer((request, response) => serve(request, response));
server.listen(0, "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  serve = begin(issuer);
  console.log(issuer);
  createInterface({ input: process.stdin }).on("line", (line) => {
    const command = JSON.parse(line);
    if (command.redirect) redirects.push(command.redirect);
    if (command.rotate) serve = begin(issuer);
    console.log("done");
  }).on("close", () => process.exit(0));
});
