// A certified OpenID Connect provider, for tests: PKCE is asked for, and everybody may sign in.
import Provider from "oidc-provider";

const [, , port, callback] = process.argv;
const provider = new Provider(`http://localhost:${port}`, {
  clients: [{ client_id: "vocality", client_secret: "s".repeat(32), redirect_uris: [callback] }],
  claims: { openid: ["sub"], email: ["email", "email_verified"] },
  pkce: { required: () => true },
  findAccount: (_, sub) => ({
    accountId: sub,
    claims: () => ({ sub, email: `${sub}@example.org`, email_verified: true }),
  }),
});
provider.listen(Number(port), "localhost", () => console.log("listening"));
