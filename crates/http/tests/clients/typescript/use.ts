// A client's code. That it compiles is the test; each line marked with @ts-expect-error must not.
import createClient from "openapi-fetch";
import type { components, paths } from "./generated/api.js";

const client = createClient<paths>({ baseUrl: "http://localhost:8080" });

export async function stake(market: string, points: number): Promise<string> {
  const quoted = await client.POST("/v1/quotes", { body: { market, side: "yes", stake_points: points } });
  if (quoted.error) {
    return `${quoted.error.title}: ${quoted.error.detail ?? ""} (${quoted.error.status})`;
  }
  const order = await client.POST("/v1/orders", { body: { quote: quoted.data.quote } });
  return order.data?.state ?? "refused";
}

export async function page(cursor?: string): Promise<components["schemas"]["Statement"] | undefined> {
  const { data } = await client.GET("/v1/me/statement", { params: { query: { cursor, limit: 50 } } });
  return data;
}

export async function receipt(id: string) {
  // @ts-expect-error a side is yes or no
  await client.POST("/v1/quotes", { body: { market: id, side: "maybe", stake_points: 10 } });
  // @ts-expect-error the currency is missing
  await client.POST("/v1/pos/purchases", { body: { receipt: "1", amount_cents: 100, purchased_at: "2026-11-23T12:00:00Z" } });
  // @ts-expect-error there is no such route
  await client.GET("/v1/nowhere");
  return client.POST("/v1/pos/returns", { body: { purchase: id } });
}
