// Verifies an access token with cjose and jansson: `cc verify.c -lcjose -ljansson -o verify`, then
// `./verify ISSUER AUDIENCE < token`, with the key in access.jwk.
#include <cjose/cjose.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static int refuse(const char *why) {
    fprintf(stderr, "refused: %s\n", why);
    return 1;
}

static int is(const char *value, const char *expected) {
    return value && !strcmp(value, expected);
}

static const char *text(const json_t *claims, const char *name) {
    return json_string_value(json_object_get(claims, name));
}

int main(int argc, char **argv) {
    char token[8192] = "", file[1024] = "";
    FILE *jwk = fopen("access.jwk", "r");
    if (argc != 3 || !jwk) return refuse("give issuer and audience, and the key in access.jwk");
    cjose_jwk_t *key = cjose_jwk_import(file, fread(file, 1, sizeof file, jwk), NULL);
    fclose(jwk);
    if (!key || !fgets(token, sizeof token, stdin)) return refuse("there is no key, or no token on standard input");
    cjose_jws_t *jws = cjose_jws_import(token, strcspn(token, "\r\n"), NULL);
    if (!jws) return refuse("this is no token");

    // The key says what it is for, not the token; and no other token of Latchkey's passes for an access token.
    cjose_header_t *header = cjose_jws_get_protected(jws);
    if (!is(cjose_header_get(header, "alg", NULL), "HS256") || !is(cjose_header_get(header, "typ", NULL), "at+jwt"))
        return refuse("this is not an access token");
    if (!cjose_jws_verify(jws, key, NULL)) return refuse("the signature is wrong");

    uint8_t *payload = NULL;
    size_t length = 0;
    if (!cjose_jws_get_plaintext(jws, &payload, &length, NULL)) return refuse("there are no claims");
    json_t *claims = json_loadb((char *)payload, length, JSON_REJECT_DUPLICATES, NULL);
    if (json_integer_value(json_object_get(claims, "exp")) <= time(NULL))
        return refuse("the token has expired, or never does");
    if (!is(text(claims, "iss"), argv[1])) return refuse("the token is from another issuer");
    if (!is(text(claims, "aud"), argv[2])) return refuse("the token is for another audience");
    const char *user = text(claims, "sub"), *role = text(claims, "role");
    if (!user || !role || !text(claims, "sid")) return refuse("the token does not say who it is about");
    printf("%s %s\n", user, role);
    json_decref(claims);
    cjose_jws_release(jws);
    cjose_jwk_release(key);
    return 0;
}
