// The second judge: Kalshi's own TypeScript client lists, trades, cancels and settles on the simulator.
// Nothing here adapts either side. The socket is read with `ws`, as that client has none.
import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createSign, constants, generateKeyPairSync, randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import axios from 'axios';
import kalshi from 'kalshi-typescript';
import WebSocket from 'ws';

const { Configuration, ApiKeysApi, AccountApi, EventsApi, ExchangeApi, MarketApi, OrdersApi, PortfolioApi, SearchApi } = kalshi;
const keyId = randomUUID();
const token = randomUUID();
const { publicKey, privateKey } = generateKeyPairSync('rsa', {
  modulusLength: 2048,
  publicKeyEncoding: { type: 'spki', format: 'pem' },
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
});
const folder = mkdtempSync(join(tmpdir(), 'exchange-sim-'));
let simulator, urls, api;

before(async () => {
  const keyFile = join(folder, 'public.pem');
  writeFileSync(keyFile, publicKey);
  const binary = process.env.EXCHANGE_SIM_BIN;
  const [command, first] = binary
    ? [binary, []]
    : ['cargo', ['run', '-q', '-p', 'hunch-exchange-sim', '--bin', 'exchange-sim', '--']];
  const args = [...first, '--port', '0', '--key-id', keyId, '--public-key', keyFile, '--control-token', token,
    '--tier', 'unlimited', '--portfolio-lag-ms', '0', '--market-lag-ms', '0'];
  simulator = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  urls = await new Promise((resolve, reject) => {
    const found = {};
    createInterface({ input: simulator.stdout }).on('line', (line) => {
      const [name, url] = line.split(/\s+/);
      found[name] = url;
      if (name === 'control') resolve(found);
    });
    simulator.on('exit', (code) => reject(new Error(`the simulator ended with ${code}`)));
  });
  const configuration = new Configuration({ apiKey: keyId, privateKeyPem: privateKey, basePath: urls.rest });
  api = {
    account: new AccountApi(configuration),
    keys: new ApiKeysApi(configuration),
    events: new EventsApi(configuration),
    exchange: new ExchangeApi(configuration),
    markets: new MarketApi(configuration),
    orders: new OrdersApi(configuration),
    portfolio: new PortfolioApi(configuration),
    search: new SearchApi(configuration),
  };
});

after(() => {
  simulator?.kill('SIGTERM');
  rmSync(folder, { recursive: true, force: true });
});

async function referee(path, body = {}) {
  const answer = await fetch(`${urls.control}${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  assert.equal(answer.status, 200, await answer.text());
}

const order = (ticker, side, count, price, timeInForce = 'immediate_or_cancel') => ({
  ticker,
  client_order_id: randomUUID(),
  side,
  count,
  price,
  time_in_force: timeInForce,
  self_trade_prevention_type: 'taker_at_cross',
});

/** The status and code of a refusal. */
async function refusal(promise) {
  try {
    await promise;
  } catch (error) {
    return [error.response?.status, error.response?.data?.error?.code];
  }
  return assert.fail('was not refused');
}

/** An open market of this category with this book and nothing else. */
async function marketOf(category, index = 0) {
  const { series } = (await api.markets.getSeriesList(category)).data;
  const listed = [];
  for (const one of series) {
    listed.push(...(await api.markets.getMarkets(1000, undefined, undefined, one.ticker, ...Array(7), 'open')).data.markets);
  }
  const ending = (m) => m.expected_expiration_time;
  listed.sort((a, b) => (ending(a) < ending(b) ? 1 : -1));
  const { ticker } = listed[index];
  await referee(`/markets/${ticker}/book`, { yes: [['0.3300', '120.00']], no: [['0.6500', '80.25']] });
  return ticker;
}

test('lists a day of markets', async () => {
  assert.equal((await api.exchange.getExchangeStatus()).data.trading_active, true);
  const categories = (await api.search.getTagsForSeriesCategories()).data.tags_by_categories;
  for (const kind of ['Sports', 'Climate and Weather', 'Crypto', 'Economics', 'Social']) assert.ok(categories[kind], kind);
  assert.ok((await api.search.getFiltersForSports()).data.filters_by_sports.Basketball);
  const events = (await api.events.getEvents(200, undefined, true)).data;
  assert.equal(events.cursor, '');
  assert.ok(events.events.length >= 20 && events.events.every((event) => event.markets.length >= 1));
  let cursor;
  let count = 0;
  do {
    const page = (await api.markets.getMarkets(25, cursor)).data;
    count += page.markets.length;
    cursor = page.cursor;
  } while (cursor !== '');
  assert.ok(count >= 60, `${count} markets`);
  const event = (await api.events.getEvent(events.events[0].event_ticker)).data;
  const one = (await api.markets.getMarket(event.markets[0].ticker)).data.market;
  assert.equal(one.event_ticker, event.event.event_ticker);
  const book = (await api.markets.getMarketOrderbook(one.ticker)).data.orderbook_fp;
  assert.ok(book.yes_dollars.length >= 1 && book.no_dollars.length >= 1, 'the house quotes both sides');
  assert.equal(book.yes_dollars.at(-1)[0], one.yes_bid_dollars);
  assert.equal((await api.account.getAccountApiLimits()).data.usage_tier, 'unlimited');
  assert.equal((await api.keys.getApiKeys()).data.api_keys[0].api_key_id, keyId);
});

test('trades, nets and cancels', async () => {
  const ticker = await marketOf('Climate and Weather');
  const before = Number((await api.portfolio.getBalance()).data.balance_dollars);
  const bought = await api.orders.createOrderV2(order(ticker, 'bid', '12.00', '0.4000'));
  assert.equal(bought.status, 201);
  assert.deepEqual([bought.data.fill_count, bought.data.remaining_count, bought.data.average_fill_price], ['12.00', '0.00', '0.3500']);
  await api.orders.createOrderV2(order(ticker, 'ask', '10.00', '0.3300'));
  const { market_positions: positions } = (await api.portfolio.getPositions(undefined, undefined, undefined, ticker)).data;
  assert.equal(positions[0].position_fp, '2.00');
  const fills = (await api.portfolio.getFills(ticker)).data.fills;
  const fees = fills.reduce((sum, fill) => sum + Number(fill.fee_cost), 0);
  const left = Number((await api.portfolio.getBalance()).data.balance_dollars);
  assert.ok(Math.abs(before - left - (4.2 + 6.7 - 10 + fees)) < 0.001, 'ten pairs came back as ten dollars');

  const large = await api.orders.createOrderV2(order(ticker, 'bid', '500.00', '0.3500'));
  assert.deepEqual([large.data.fill_count, large.data.remaining_count], ['68.25', '0.00']);
  const read = (await api.orders.getOrder(large.data.order_id)).data.order;
  assert.deepEqual([read.status, read.fill_count_fp, read.remaining_count_fp], ['canceled', '68.25', '0.00']);

  const resting = (await api.orders.createOrderV2(order(ticker, 'bid', '5.00', '0.2000', 'good_till_canceled'))).data;
  assert.equal((await api.orders.getOrders(ticker, undefined, undefined, undefined, 'resting')).data.orders.length, 1);
  const gone = (await api.orders.cancelOrderV2(resting.order_id, undefined, undefined, ticker)).data;
  assert.equal(gone.reduced_by, '5.00');
  assert.deepEqual(await refusal(api.orders.cancelOrderV2(resting.order_id, undefined, undefined, ticker)), [404, 'not_found']);
});

test('refuses as the exchange does', async () => {
  const ticker = await marketOf('Social');
  const first = order(ticker, 'bid', '1.00', '0.3500');
  await api.orders.createOrderV2(first);
  assert.deepEqual(await refusal(api.orders.createOrderV2(first)), [409, 'order_already_exists']);
  const all = order(ticker, 'bid', '900.00', '0.3500', 'fill_or_kill');
  assert.deepEqual(await refusal(api.orders.createOrderV2(all)), [409, 'fill_or_kill_insufficient_resting_volume']);
  assert.deepEqual(await refusal(api.orders.createOrderV2(order(ticker, 'bid', '1.00', '0.3550'))), [400, 'invalid_price']);
  const stranger = new PortfolioApi(
    new Configuration({ apiKey: randomUUID(), privateKeyPem: privateKey, basePath: urls.rest }), undefined,
    axios.create(), // of its own: the client's instances all sign on the shared one
  );
  assert.deepEqual(await refusal(stranger.getBalance()), [401, 'authentication_error']);
});

test('settles, and the socket says so', async () => {
  const ticker = await marketOf('Transportation');
  const stamp = String(Date.now());
  const signer = createSign('RSA-SHA256').update(`${stamp}GET/trade-api/ws/v2`);
  const signature = signer.sign({ key: privateKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }, 'base64');
  const socket = new WebSocket(urls.socket, {
    headers: { 'KALSHI-ACCESS-KEY': keyId, 'KALSHI-ACCESS-TIMESTAMP': stamp, 'KALSHI-ACCESS-SIGNATURE': signature },
  });
  const heard = [];
  const settled = new Promise((resolve) => {
    socket.on('message', (data) => {
      const frame = JSON.parse(data);
      heard.push(frame);
      if (frame.msg?.event_type === 'settled' && frame.msg.market_ticker === ticker) resolve();
    });
  });
  await new Promise((resolve) => socket.on('open', resolve));
  socket.send(JSON.stringify({ id: 1, cmd: 'subscribe', params: { channels: ['market_lifecycle_v2', 'fill'] } }));
  while (heard.length < 2) await new Promise((resolve) => socket.once('message', resolve));

  const bought = (await api.orders.createOrderV2(order(ticker, 'ask', '4.00', '0.3300'))).data;
  const before = (await api.portfolio.getBalance()).data.balance;
  await referee(`/markets/${ticker}/determine`, { result: 'no' });
  assert.equal((await api.markets.getMarket(ticker)).data.market.status, 'determined');
  await referee(`/markets/${ticker}/dispute`);
  await referee(`/markets/${ticker}/amend`, { result: 'scalar', settlement_value: '0.2500' });
  await referee(`/markets/${ticker}/finalize`);
  await settled;
  socket.terminate();

  const { market } = (await api.markets.getMarket(ticker)).data;
  assert.deepEqual([market.status, market.result, market.settlement_value_dollars], ['finalized', 'scalar', '0.2500']);
  const row = (await api.portfolio.getSettlements(undefined, undefined, ticker)).data.settlements[0];
  assert.deepEqual([row.market_result, row.revenue, row.value, row.no_count_fp], ['scalar', 300, 25, '4.00']);
  assert.equal((await api.portfolio.getBalance()).data.balance - before, 300);
  const fill = heard.find((frame) => frame.type === 'fill');
  assert.deepEqual([fill.msg.order_id, fill.msg.post_position_fp], [bought.order_id, '-4.00']);
  const story = heard.filter((frame) => frame.msg?.market_ticker === ticker && frame.seq).map((frame) => frame.msg.event_type);
  assert.deepEqual(story.slice(0, 3), ['close_date_updated', 'determined', 'determined']);
});
