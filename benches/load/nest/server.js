// The NestJS server that Latchkey is compared with: @nestjs/passport with passport-jwt on Express, as its tutorial has
// it, with the decorators applied by hand so that no compiler is needed.
"use strict";

require("reflect-metadata");
const { randomBytes } = require("node:crypto");
const { Body, Controller, Get, Inject, Module, Post, Req, UseGuards } = require("@nestjs/common");
const { NestFactory } = require("@nestjs/core");
const { JwtModule, JwtService } = require("@nestjs/jwt");
const { AuthGuard, PassportModule, PassportStrategy } = require("@nestjs/passport");
const { ExtractJwt, Strategy } = require("passport-jwt");

const secret = randomBytes(32);
const issuer = "http://127.0.0.1:8080";

class JwtStrategy extends PassportStrategy(Strategy) {
  constructor() {
    super({ jwtFromRequest: ExtractJwt.fromAuthHeaderAsBearerToken(), secretOrKey: secret, issuer, audience: issuer });
  }

  validate(claims) {
    return { id: claims.sub, role: claims.role, session: claims.sid };
  }
}

class ApiController {
  constructor(jwt) {
    this.jwt = jwt;
  }

  // Gives a token for the asking: only `me` is measured.
  login(body) {
    const session = randomBytes(16).toString("base64url");
    const claims = { sub: "0d5c257ae4f4395d", sid: session, role: "user", jti: randomBytes(8).toString("hex") };
    const refresh_token = randomBytes(32).toString("base64url");
    return { access_token: this.jwt.sign(claims), refresh_token, session, user: { name: body.username } };
  }

  me(request) {
    return { user: { id: request.user.id, role: request.user.role }, session: request.user.session };
  }
}

const decorate = (method, decorators, parameters = []) => {
  const descriptor = Object.getOwnPropertyDescriptor(ApiController.prototype, method);
  decorators.forEach((decorator) => decorator(ApiController.prototype, method, descriptor));
  parameters.forEach((decorator, index) => decorator(ApiController.prototype, method, index));
};
Controller("api")(ApiController);
Inject(JwtService)(ApiController, undefined, 0);
decorate("login", [Post("auth/login")], [Body()]);
decorate("me", [Get("me"), UseGuards(AuthGuard("jwt"))], [Req()]);

class AppModule {}
Module({
  imports: [
    PassportModule,
    JwtModule.register({ secret, signOptions: { algorithm: "HS256", expiresIn: "24h", issuer, audience: issuer } }),
  ],
  controllers: [ApiController],
  providers: [JwtStrategy],
})(AppModule);

NestFactory.create(AppModule, { logger: ["error"] }).then(async (app) => {
  await app.listen(0, "127.0.0.1");
  // Connections wait for their turn longer than the five seconds Node gives them.
  app.getHttpServer().keepAliveTimeout = 75_000;
  console.log(`nestjs listening on http://127.0.0.1:${app.getHttpServer().address().port}`);
});
