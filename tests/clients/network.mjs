// Node's fetch with a record of the requests, and answers that get lost.
export class Network {
  requests = [];
  answersToLose = 0;

  fetch = async (address, options = {}) => {
    const url = new URL(address);
    const request = {
      method: options.method ?? "GET",
      headers: new Headers(options.headers),
      sent: options.body ? JSON.parse(options.body) : Object.fromEntries(url.searchParams),
    };
    this.requests.push(request);
    const response = await fetch(url, options);
    request.status = response.status;
    request.answered = response.headers;
    if (this.answersToLose > 0) {
      this.answersToLose -= 1;
      await response.arrayBuffer();
      throw new TypeError("fetch failed");
    }
    return response;
  };

  get last() {
    return this.requests.at(-1);
  }
}
