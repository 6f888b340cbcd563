// One request from its first byte to its log line. serve() and forward() read as the life of a request;
// docs/architecture.md walks through them. Owned by its client connection and used again for each of its requests until
// none has come for a moment; one core.
//
// Invariants: every request is recorded exactly once; after the first byte of a reply has been written, a failure cuts
// the connection instead of answering; the upload coroutine has ended before serve() returns; a replica connection goes
// back to the pool only if both messages ended where their framing said; the client's socket is read by one coroutine
// at a time (this one, the upload, or the watch).
#pragma once

#include "base/buffer.hpp"
#include "base/byte_budget.hpp"
#include "base/deadline_wheel.hpp"
#include "base/plain_stream.hpp"
#include "http/body.hpp"
#include "http/write.hpp"
#include "proxy/core.hpp"
#include "proxy/pace.hpp"
#include "proxy/queue_place.hpp"
#include "tls/stream.hpp"
#include "upstream/connection.hpp"

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace scoregate::proxy {

// What an exchange needs of the connection it runs on. Owned by proxy::client.
template <class Stream>
struct client_side {
    core& where;
    Stream stream;
    std::string address;                      // of the peer as text
    std::string_view cipher;                  // OpenSSL's name, static; empty without TLS
    std::string_view sni;                     // the stream's
    base::frame_ptr<std::string> certificate; // the client's, as replicas are told of it; null: it showed none
    bool resumed;
    bool finishing;           // the next reply is the last, where none has said so yet
    base::buffer in;          // from the client
    std::uint64_t origin = 0; // the address as limits count it
    base::ip_address peer{};  // who has connected, or whom a PROXY header named
    std::uint32_t requests = 0;
    bool unnamed = false; // its PROXY header named nobody: it may be anybody's, whom the sender has not looked at
};

enum class ending : std::uint8_t {
    keep_alive,
    close,  // orderly
    linger, // orderly, but the client may still be sending: that is read and dropped for a moment
    cut,    // the client must notice that the reply is not whole
};

// How long a client is waited for with buffers in hand: under load it goes on long before, and has them at hand.
inline constexpr std::chrono::milliseconds hot_time{100};

template <class Stream>
class exchange {
public:
    explicit exchange(client_side<Stream>& client);
    exchange(const exchange&) = delete;
    exchange& operator=(const exchange&) = delete;

    // Serves the request whose first bytes stand in client.in.
    base::task<ending> serve();
    // True while a reply is owed: a drain lets it finish.
    bool busy() const { return busy_; }
    // Closes both connections under whatever is going on.
    void abort();
    // Between two requests: a large body's blocks go back at once, ordinary ones stay until the connection goes idle.
    void trim();

private:
    using clock = std::chrono::steady_clock;
    // The system of a client that reads slowly takes a lump now and then, as its buffer has room, and nothing between:
    // so much of a lump counts for the time after it.
    static constexpr std::uint64_t most_ahead = 524288;
    static constexpr std::uint64_t first_ahead = 16384; // a network may be away for a while at the beginning

    // The request (exchange.cpp).
    void begin();
    base::task<base::result<void>> forward();
    base::result<bool> find_request();
    base::task<base::result<bool>> read_head();
    base::task<base::result<void>> send_own_reply();
    base::task<base::result<void>> reach_replica();
    base::failure connect_failure(base::error_code, bool timed_out) const;
    base::task<base::result<void>> dispatch();
    void send_copy_of(std::string_view body);
    base::task<> answer(base::failure why);
    void drop_buffered_body();
    void record(const base::failure& why);
    void remember(base::fault kind, unsigned status, clock::time_point ended);

    // What it is for, and whether it may be (exchange_decide.ipp).
    base::result<void> decide();
    void judge_peer();
    bool admits_client(const http::request_head&);
    bool is_last_request() const;
    base::result<void> authorise(const http::request_head&);
    base::result<void> check_rate() const;
    bool asks_for_challenge(const http::request_head&);
    base::task<base::result<void>> answer_challenge();
    base::result<void> answer_preflight(const http::request_head&, const routing::route&);
    base::result<void> prepare_request(const http::request_head&, const routing::destination&);

    // Its slot, and what becomes of the replica in the end (exchange_slot.ipp).
    base::result<bool> ask_for_slot();
    base::task<base::result<void>> wait_for_slot();
    routing::outcome outcome_of(const base::failure& why) const;
    void leave_replica(const base::failure& why);

    // Another try (exchange_retry.ipp).
    enum class try_at : std::uint8_t { nowhere, same_replica, another_replica };
    struct further_try {
        try_at where = try_at::nowhere;
        telemetry::retry_reason because = {};
        bool sent_before = false;
        bool within_budget = false; // it takes a place there
    };
    void begin_try();
    base::task<base::result<bool>> try_again(base::failure why);
    further_try next_try(const base::failure& why) const;
    bool within_budget() const;
    bool turns_away(unsigned status) const;
    base::task<bool> move_elsewhere(const base::failure& why);
    base::failure final_word(const base::failure& why) const;
    base::result<bool> keep_reply();
    void drop_request();

    // Its spans, where it is traced (exchange_trace.ipp).
    void begin_trace();
    void name_trace(const routing::destination& to);
    telemetry::stage_span& add_stage(telemetry::stage what, clock::time_point began, clock::time_point ended,
                                     base::fault why);
    void renew_model_id();
    void begin_model();
    telemetry::stage_span* last_model();
    void end_model(const base::failure& why);
    void record_trace(const telemetry::access_record& line, clock::time_point ended);

    // Waits for the sockets (exchange_wait.ipp). The first: until the client's has something, without what is not
    // needed meanwhile.
    base::task<base::error_code> await_client();
    void trim_client();
    void forsake_client();
    bool was_for_the_upload() const;
    // Whether the client is still there, while it is not read for anything else (exchange_watch.ipp).
    void watch();
    base::task<> watch_client();
    base::task<> end_watch();

    // Its body (exchange_upload.ipp).
    base::result<std::string_view> next_piece();
    base::failure refuse_body(base::failure why);
    // Of the body, so that what follows cannot be the next request.
    bool something_unread() const { return now_.body_refused || !request_body_.done(); }
    base::task<base::result<void>> collect_body();
    base::result<void> account_for(std::size_t block);
    base::task<base::result<void>> read_body();
    base::task<> upload();
    base::task<base::result<void>> upload_rest();
    base::task<> end_upload();
    bool too_slow(std::size_t received, clock::duration waited);

    // The reply (exchange_reply.ipp).
    base::task<base::result<void>> read_reply_head();
    base::result<bool> find_reply();
    void begin_reply();
    base::task<base::result<void>> relay_reply();
    std::string_view next_reply_piece(std::size_t payload, bool last);

    // A send is tried at once by the caller; these wait for what the socket did not take (exchange_wait.ipp).
    base::task<base::result<void>> send_rest_to_client(std::string_view rest, base::error_code ec);
    base::task<base::result<void>> send_rest_to_replica(std::string_view rest, base::error_code ec);
    // Whether the client takes it, and how fast.
    void begin_wait_for_reader();
    void end_wait_for_reader();
    bool look_at_reader();
    bool reads_too_slowly();
    void arm_next_look();
    static void judge_reader(void* self);

    base::failure client_failure(const char* waited_for) const;
    base::failure replica_failure(base::fault otherwise) const;
    // What makes waiting for a slot or a replica pointless: the client has gone, time is up, the connection was cut.
    base::failure given_up() const;
    base::failure refuse_for_now(base::fault) const; // with retry_after
    base::error_mapping mapping() const;
    // In clear it may not be told (RFC 6797 7.2).
    std::string_view transport_security() const {
        return Stream::is_tls ? snapshot_->transport_security() : std::string_view{};
    }
    telemetry::service_metrics::per_core& metrics() const { return now_.metrics->at(core_.index()); }
    const config::timeouts& timeouts() const { return snapshot_->settings().timeouts; }
    static void cancel_client(void* self);
    static void cancel_replica(void* self);
    static void cancel_all(void* self);

    client_side<Stream>& client_;
    core& core_;
    base::deadline reading_;                           // cancels the client's socket
    base::deadline writing_;                           // has the client looked at, and cancels it if it is too slow
    base::deadline cooling_;                           // cancels it when it is to be waited for without buffers
    base::deadline replica_reading_, replica_writing_; // cancel the replica's
    base::deadline unwatched_;                         // fires when the client is to be watched
    base::deadline total_;                             // cancels all of them
    std::optional<base::event> upload_ended_;          // told by the upload coroutine
    std::optional<base::event> watch_ended_;           // told by the watch

    // How replies are taken, one after another: who pipelines is no faster for it.
    pace reply_pace_{most_ahead, first_ahead};
    std::uint64_t taken_ = 0;                // by the client's system, when last looked at
    clock::time_point looked_at_, moved_at_; // then; and when it had last taken something
    const char* too_slow_by_ = nullptr;      // which limit, once the client has been given up

    // One request's state from here on; begin() makes it new.
    std::shared_ptr<const routing::snapshot> snapshot_; // pinned: a reload changes nothing under way
    queue_place place_;
    routing::slot slot_;
    base::buffer out_;           // the head that is sent next, with the body's first bytes
    base::buffer reply_;         // from the replica
    base::byte_share collected_; // what out_ holds beyond an ordinary block
    base::buffer copied_head_;   // of a request that is to be copied to now_.mirror
    std::unique_ptr<upstream::connection> replica_;
    http::request_identity identity_;
    std::unique_ptr<telemetry::trace> trace_; // null: not traced, as most are
    http::body_decoder request_body_, reply_body_;
    std::string addresses_;           // the client's and its proxies', where a trusted one has told them
    std::string own_reply_;           // health, redirect, preflight: answered without a replica
    std::string challenge_;           // the token that an ACME provider asks for; empty: another request
    base::frame_string replica_name_; // for the log: the slot may be gone by then
    base::frame_string kept_;         // method, path and user agent, for the log
    base::failure upload_failure_;
    bool busy_ = false, aborted_ = false;
    bool peer_is_trusted_ = false, peer_is_allowed_ = false; // by snapshot_

    struct progress {
        const routing::service* service = nullptr; // also where only its name was recognised
        const routing::target* target = nullptr;   // the deployment
        const routing::target* mirror = nullptr;   // and the one that gets a copy
        telemetry::service_metrics* metrics = nullptr;
        std::string_view addresses;                 // the client's, then those of trusted proxies after it
        std::uint64_t origin = 0;                   // the client's as limits count it
        std::string_view auth;                      // who the caller is, as the log has it
        std::uint64_t caller = 0;                   // and as a rate limit by key counts
        std::string_view allowed_origin;            // of the page that asked, where CORS lets it
        std::size_t method_size = 0, path_size = 0; // of kept_
        http::method verb = http::method::other;
        int minor_version = 1;
        std::size_t scanned = 0; // of the head that is looked for
        std::size_t head_size = 0;
        std::size_t replica_head_size = 0; // at the front of out_
        http::reply_framing framing;
        std::uint64_t body_bytes = 0;    // payload of the request so far
        pace body_pace;                  // of the request's body, once that is judged by it
        clock::duration uploading_for{}; // spent waiting for the body before that check began
        clock::duration collecting{};    // spent waiting for the body before a slot was asked for
        unsigned interim_replies = 0, attempts = 0;
        unsigned model_status = 0, status = 0;
        base::fault passed_on = base::fault::none; // model_error: the reply is the model's, under another status
        std::uint64_t bytes_in = 0, bytes_out = 0;
        std::chrono::system_clock::time_point began_at;
        clock::time_point began, head_read, sent_at, dispatched, reply_seen, reply_begun;
        clock::duration queued{}, connecting{};
        scoregate::proxy::ending ending = scoregate::proxy::ending::keep_alive;
        bool empty_line_ignored = false, head_parsed = false, expects_continue = false, client_keeps_alive = false;
        bool body_refused = false; // in the middle: where it ends is not known
        bool uploading = false, stop_upload = false, replica_write_failed = false;
        bool reply_started = false, reply_complete = false, reply_head_seen = false;
        bool replica_reusable = true;                           // by every head of its reply so far
        std::optional<std::chrono::seconds> replica_idle_limit; // as its reply announces it
        // Of the try under way:
        bool reused = false;        // on a connection from the pool
        bool sent = false;          // anything
        bool request_whole = false; // all of it has been written
        bool was_reset = false;     // by the replica, which closed without having read all of it
        bool turned_away = false;   // by a reply, which is left where it stands
        // Of all tries:
        bool idempotent = false;           // sent twice, it does no harm
        bool replayable = false;           // out_ has all of it
        try_at repeated = try_at::nowhere; // after it had been sent: where the last time
        bool counts_as_retry = false;      // in the budget
        bool was_turned_away = false;      // and tried elsewhere
        clock::duration tried_in_vain{};   // before the last try began, waits that are counted elsewhere left out
        bool wants_new_connection = false; // not one that has been idle
        bool watching = false, stop_watch = false, client_left = false;
    };
    progress now_;
};

extern template class exchange<base::plain_stream>;
extern template class exchange<tls::stream>;

} // namespace scoregate::proxy
