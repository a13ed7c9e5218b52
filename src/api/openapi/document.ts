/** The OpenAPI 3.1 description, made from the schemas that check the requests. */
import { z } from "zod";
import { errorTable } from "../../errors.ts";
import { chatSchema } from "../openai/chat/schema.ts";
import { completionSchema } from "../openai/completions/schema.ts";
import { detokenizeSchema, tokenizeSchema } from "../tokenize/schema.ts";

const errorSchema = z.object({
  error: z.object({
    message: z.string(),
    type: z.string(),
    param: z.string().nullable(),
    code: z.enum(Object.keys(errorTable) as [string, ...string[]]),
    hint: z.string(),
  }),
});

interface Operation {
  readonly path: string;
  readonly method: "get" | "post";
  readonly summary: string;
  readonly body?: z.ZodType;
  readonly contentType?: string;
  readonly streams?: boolean;
  /** Answers without a key. */
  readonly isOpen?: boolean;
  /** Name of a parameter in the path. */
  readonly parameter?: string;
}

const operations: readonly Operation[] = [
  {
    path: "/v1/chat/completions",
    method: "post",
    summary: "Answer a conversation.",
    body: chatSchema,
    streams: true,
  },
  {
    path: "/v1/completions",
    method: "post",
    summary: "Go on with a text.",
    body: completionSchema,
    streams: true,
  },
  { path: "/v1/models", method: "get", summary: "The models that are served." },
  { path: "/v1/models/{id}", method: "get", summary: "One model.", parameter: "id" },
  { path: "/tokenize", method: "post", summary: "Text or messages to tokens.", body: tokenizeSchema },
  { path: "/detokenize", method: "post", summary: "Tokens to text.", body: detokenizeSchema },
  { path: "/health", method: "get", summary: "200 when requests are taken, else 503.", isOpen: true },
  { path: "/health/live", method: "get", summary: "200 while the process runs.", isOpen: true },
  { path: "/health/ready", method: "get", summary: "The same as /health.", isOpen: true },
  { path: "/metrics", method: "get", summary: "Metrics for Prometheus.", contentType: "text/plain" },
  { path: "/openapi.json", method: "get", summary: "This description.", isOpen: true },
  { path: "/", method: "get", summary: "Name and version of the server.", isOpen: true },
];

/** The description as a JSON value. */
export function createOpenApiDocument(version: string): object {
  return {
    openapi: "3.1.0",
    info: {
      title: "Inkstone",
      version,
      description: "An OpenAI-compatible server for large language models.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    paths: Object.fromEntries(
      operations.map((operation) => [operation.path, { [operation.method]: toOperation(operation) }]),
    ),
    components: {
      schemas: { Error: toSchema(errorSchema) },
      securitySchemes: { apiKey: { type: "http", scheme: "bearer" } },
    },
  };
}

function toOperation(operation: Operation): object {
  const { summary, body, contentType = "application/json", streams, isOpen, parameter } = operation;
  return {
    summary,
    security: isOpen ? [] : [{}, { apiKey: [] }],
    ...(parameter !== undefined && {
      parameters: [{ name: parameter, in: "path", required: true, schema: { type: "string" } }],
    }),
    ...(body !== undefined && {
      requestBody: { required: true, content: { "application/json": { schema: toSchema(body) } } },
    }),
    responses: {
      "200": {
        description: "The answer.",
        content: {
          [contentType]: {},
          ...(streams && { "text/event-stream": {} }),
        },
      },
      default: {
        description: "An error; its code stands in docs/errors.md.",
        content: { "application/json": { schema: { $ref: "#/components/schemas/Error" } } },
      },
    },
  };
}

function toSchema(schema: z.ZodType): object {
  const { $schema: _dialect, ...rest } = z.toJSONSchema(schema, { io: "input" });
  return rest;
}
