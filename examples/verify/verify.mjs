// Verifies an access token with jose: `node verify.mjs ISSUER AUDIENCE < token`, with the key in access.jwk.
import { readFileSync } from "node:fs";
import { importJWK, jwtVerify } from "jose";

const [issuer, audience] = process.argv.slice(2);
const jwk = JSON.parse(readFileSync("access.jwk", "utf8"));
try {
  const token = readFileSync(0, "utf8").trim();
  const { payload } = await jwtVerify(token, await importJWK(jwk), {
    algorithms: ["HS256"], // the key says what it is for, not the token
    typ: "at+jwt", // no other token of Latchkey's passes for an access token
    issuer,
    audience,
    requiredClaims: ["exp", "sub", "sid"],
  });
  console.log(payload.sub, payload.role);
} catch (error) {
  console.error(`refused: ${error.message}`);
  process.exit(1);
}
