#include "unit/config/written.hpp"

using namespace scoregate::config;
using namespace std::chrono_literals;
using nlohmann::json;

namespace {

using texts = std::vector<std::string>;

// The valid file with one value put in, or taken out when `value` is empty.
std::string changed(const std::string& pointer, const std::string& value) {
    auto tree = valid();
    const json::json_pointer at{pointer};
    if (value.empty()) {
        tree[at.parent_pointer()].erase(at.back());
    } else {
        tree[at] = json::parse(value);
    }
    return tree.dump(2);
}

texts texts_of(const std::vector<scoregate::base::network>& networks) {
    texts all;
    for (const auto& each : networks) all.push_back(each.to_string());
    return all;
}

const std::string blue = "/services/iris/deployments/blue";

} // namespace

TEST_CASE("the defaults are the contract's") {
    const written file{valid().dump()};
    const auto result = file.load();
    CHECK(lines(result.problems) == texts{});
    CHECK(result.warnings == texts{});
    REQUIRE(result.value);
    const auto& s = *result.value;
    CHECK(s.file == file.file());
    REQUIRE(s.certificates.size() == 1);
    CHECK(s.certificates.at(0).certificate == (file.folder() / "tls/cert.pem").string());
    CHECK(s.certificates.at(0).key == "/keys/key.pem");
    CHECK_FALSE(s.allow_insecure_connections);
    CHECK_FALSE(s.refuse_expired);
    CHECK_FALSE(s.ticket_keys_dir);
    CHECK(s.listen_on.https == std::vector<endpoint>{{"::", 8443}});
    CHECK(s.listen_on.http == std::vector<endpoint>{{"::", 8080}});
    CHECK(s.listen_on.public_https_port == 443);
    CHECK(s.admin.listen == endpoint{"127.0.0.1", 9001});
    CHECK(s.admin.hosts.empty());
    CHECK(s.workers == 0);
    CHECK_FALSE(s.user);
    CHECK_FALSE(s.admin.token_file);
    CHECK(s.listen_on.proxy_protocol == proxy_protocol::off);
    CHECK(s.trusted_proxies.empty());
    CHECK(s.limits.max_connections == 50000);
    CHECK(s.limits.max_connections_per_ip == 0);
    CHECK(s.limits.max_handshakes == 4096);
    CHECK(s.limits.max_requests_per_connection == 0);
    CHECK_FALSE(s.limits.max_memory_bytes);
    CHECK(s.limits.allow.empty());
    CHECK(s.limits.deny.empty());
    CHECK(s.limits.max_header_bytes == 65536);
    CHECK(s.limits.max_headers == 100);
    CHECK(s.limits.max_request_bytes == 104857600);
    CHECK(s.limits.min_body_rate == 16384);
    CHECK(s.limits.min_reply_rate == 1024);
    CHECK(s.timeouts.handshake == 10s);
    CHECK(s.timeouts.header == 10s);
    CHECK(s.timeouts.body_idle == 30s);
    CHECK(s.timeouts.keep_alive == 75s);
    CHECK(s.timeouts.connect == 2s);
    CHECK(s.timeouts.stream_idle == 300s);
    CHECK(s.timeouts.drain_grace == 0s);
    CHECK(s.timeouts.drain == 30s);
    CHECK(s.access_log.path == "-");
    CHECK(s.access_log.format == log_format::json);
    CHECK(s.access_log.sample_successes == 1);
    CHECK(s.access_log.slow == 1s);
    CHECK(s.access_log.facility == log_facility::local0);
    CHECK(s.log_level == log_level::info);
    CHECK(s.dns.servers.empty());
    CHECK(s.dns.min_ttl == 1s);
    CHECK(s.dns.max_ttl == 60s);
    REQUIRE(s.services.size() == 1);
    CHECK(s.services[0].name == "iris");
    CHECK(s.services[0].hosts.empty());
    CHECK(s.services[0].require_tls);
    CHECK_FALSE(s.services[0].forward_authorization);
    CHECK(s.services[0].deployments.at(0).name == "blue");
    CHECK(s.services[0].deployments.at(0).replicas ==
          std::vector<replica>{{"http://127.0.0.1:5001", "127.0.0.1", 5001}});
    CHECK(s.services[0].deployments.at(0).settings.request_timeout == 5s);
    CHECK_FALSE(s.services[0].deployments.at(0).settings.total_timeout);
}

TEST_CASE("every key is read, with comments between") {
    const written file{R"(// a comment
    { "allowInsecureConnections": false, "sslCertPemFile": "../c.pem", "sslKeyPemFile": "k.pem", // another
      "sslCname": "WWW.contoso.com", "refuse_expired": true, "ticket_keys_dir": "keys/./", // the same as keys
      "certificates": [ { "sslSecret": "/iris/", "sslCname": "IRIS.contoso.com" },
                        { "sslCertPemFile": "a/../c.pem", "sslKeyPemFile": "/k.pem", "sslCname": "10.0.0.1" } ],
      "listen": { "https": ["127.0.0.1:1", "[::1]:2"], "http": [], "public_https_port": 8443, "proxy_protocol": "required" },
      "trusted_proxies": ["10.0.0.0/8", "2001:DB8::/32", "192.0.2.7"],
      "admin": { "listen": null, "hosts": ["Ops.contoso.com", "[::0001]"] },
      "workers": 3,
      "user": "scoregate:tls",
      "limits": { "max_connections": 4, "max_header_bytes": 2048, "max_headers": 5, "max_request_bytes": 5000000000,
                  "min_body_rate": 0, "min_reply_rate": 9, "max_connections_per_ip": 6, "max_handshakes": 7, "max_requests_per_connection": 8,
                  "max_memory_bytes": 5000000000, "allow": ["::ffff:10.0.0.0/104"], "deny": ["::/0", "0.0.0.0/0"] },
      "timeouts": { "handshake_ms": 11, "header_ms": 12, "body_idle_ms": 13, "keep_alive_ms": 14, "connect_ms": 15,
                    "stream_idle_ms": 86400000, "drain_grace_ms": 17, "drain_ms": 18 },
      "access_log": { "path": "log/access", "format": "text", "sample_successes": 100, "slow_ms": 250, "facility": "daemon" },
      "log_level": "warning",
      "dns": { "servers": ["10.0.0.10", "[fd00::0a]:5353"], "min_ttl_s": 5, "max_ttl_s": 86400 },
      "services": {
        "wine": { "auth_mode": "none", "forward_authorization": false, "deployments": { "Green-2": { "replicas": ["http://wine"] } } },
        "iris": { "hosts": ["IRIS.contoso.com", "10.0.0.1"], "require_tls": false, "auth_mode": "key",
                  "keys": { "primary_file": "keys/primary", "secondary_file": "/run/keys/secondary" },
                  "forward_authorization": true,
                  "deployments": { "blue": { "replicas": ["http://My_Model:81", "http://[::1]", "http+unix:///run/m.sock", "dns://Models:5001",
                                          "srv+http://_score._tcp.Iris"],
                    "request_settings": { "request_timeout_ms": 600000, "total_timeout_ms": 86400000 } } } } } })"};
    const auto result = file.load();
    CHECK(lines(result.problems) == texts{});
    REQUIRE(result.value);
    const auto& s = *result.value;
    REQUIRE(s.certificates.size() == 3);
    CHECK(s.certificates[0].certificate == (file.folder().parent_path() / "c.pem").string());
    CHECK(s.certificates[0].key == (file.folder() / "k.pem").string());
    CHECK(s.certificates[0].cname == "www.contoso.com");
    CHECK(s.certificates[1] == certificate_files{"", "", "iris.contoso.com", "/iris"});
    CHECK(s.certificates[2] == certificate_files{(file.folder() / "c.pem").string(), "/k.pem", "10.0.0.1"});
    CHECK(s.ticket_keys_dir == (file.folder() / "keys").string());
    CHECK(s.refuse_expired);
    CHECK(s.listen_on.https == std::vector<endpoint>{{"127.0.0.1", 1}, {"::1", 2}});
    CHECK(s.listen_on.http.empty());
    CHECK(s.listen_on.public_https_port == 8443);
    CHECK_FALSE(s.admin.listen);
    CHECK(s.admin.hosts == texts{"ops.contoso.com", "::1"});
    CHECK(s.workers == 3);
    CHECK(s.user == "scoregate:tls");
    CHECK(s.listen_on.proxy_protocol == proxy_protocol::required);
    CHECK(texts_of(s.trusted_proxies) == texts{"10.0.0.0/8", "2001:db8::/32", "192.0.2.7/32"});
    CHECK(s.limits.max_connections == 4);
    CHECK(s.limits.max_connections_per_ip == 6);
    CHECK(s.limits.max_handshakes == 7);
    CHECK(s.limits.max_requests_per_connection == 8);
    CHECK(s.limits.max_memory_bytes == 5000000000);
    CHECK(texts_of(s.limits.allow) == texts{"10.0.0.0/8"});
    CHECK(texts_of(s.limits.deny) == texts{"::/0", "0.0.0.0/0"});
    CHECK(s.limits.max_header_bytes == 2048);
    CHECK(s.limits.max_headers == 5);
    CHECK(s.limits.max_request_bytes == 5000000000);
    CHECK(s.limits.min_body_rate == 0);
    CHECK(s.limits.min_reply_rate == 9);
    CHECK(s.timeouts.handshake == 11ms);
    CHECK(s.timeouts.header == 12ms);
    CHECK(s.timeouts.body_idle == 13ms);
    CHECK(s.timeouts.keep_alive == 14ms);
    CHECK(s.timeouts.connect == 15ms);
    CHECK(s.timeouts.stream_idle == 24h);
    CHECK(s.timeouts.drain_grace == 17ms);
    CHECK(s.timeouts.drain == 18ms);
    CHECK(s.access_log.path == (file.folder() / "log/access").string());
    CHECK(s.access_log.format == log_format::text);
    CHECK(s.access_log.sample_successes == 100);
    CHECK(s.access_log.slow == 250ms);
    CHECK(s.access_log.facility == log_facility::daemon);
    CHECK(s.log_level == log_level::warning);
    REQUIRE(s.services.size() == 2); // sorted by name
    CHECK(s.services[1].name == "wine");
    CHECK(s.services[1].deployments.at(0).name == "Green-2");
    CHECK(s.services[1].deployments.at(0).replicas == std::vector<replica>{{"http://wine", "wine", 80}});
    CHECK(s.services[0].hosts == texts{"iris.contoso.com", "10.0.0.1"});
    CHECK_FALSE(s.services[0].require_tls);
    CHECK(s.services[0].auth == auth_mode::key);
    CHECK(s.services[0].keys == key_files{(file.folder() / "keys/primary").string(), "/run/keys/secondary"});
    CHECK(s.services[0].forward_authorization);
    CHECK(s.services[1].auth == auth_mode::none);
    CHECK_FALSE(s.services[1].keys);
    CHECK_FALSE(s.services[1].forward_authorization);
    CHECK(s.services[0].deployments.at(0).replicas ==
          std::vector<replica>{{"http://My_Model:81", "my_model", 81},
                               {"http://[::1]", "::1", 80},
                               {"http+unix:///run/m.sock", "/run/m.sock", 80, false, replica_source::unix_socket},
                               {"dns://Models:5001", "models", 5001, false, replica_source::dns},
                               {"srv+http://_score._tcp.Iris", "_score._tcp.iris", 80, false, replica_source::srv}});
    CHECK(s.dns.servers == std::vector<endpoint>{{"10.0.0.10", 53}, {"fd00::a", 5353}});
    CHECK(s.dns.min_ttl == 5s);
    CHECK(s.dns.max_ttl == 24h);
    CHECK(s.services[0].deployments.at(0).settings.request_timeout == 10min); // longer than Azure's cap of 300 s
    CHECK(s.services[0].deployments.at(0).settings.total_timeout == 24h);
}

TEST_CASE("the access log can be off in two ways") {
    CHECK_FALSE(written{changed("/access_log", "null")}.load().value.value().access_log.path);
    CHECK_FALSE(written{changed("/access_log", R"({"path": null})")}.load().value.value().access_log.path);
}

TEST_CASE("a syslog daemon is no file: its place stays as it was written") {
    for (const std::string place : {"syslog", "syslog:/run/log.sock", "syslog:10.0.0.9:514", "syslog:[fd00::9]:514"}) {
        const written file{changed("/access_log", R"({"path": ")" + place + R"("})")};
        CHECK(file.load().value.value().access_log.path == place);
    }
    const written file{changed("/access_log", R"({"path": "./syslog"})")};
    CHECK(file.load().value.value().access_log.path == (file.folder() / "syslog").string());
}

TEST_CASE("what is wrong is refused at its pointer, with what to do") {
    struct row {
        std::string at, value, pointer, fragment;
    };
    const auto same = [](const std::string& at, const std::string& value, const std::string& fragment) {
        return row{at, value, at, fragment};
    };
    const auto one = GENERATE_COPY(values<row>({
        // types and ranges
        same("/allowInsecureConnections", "\"yes\"", "must be true or false, not the string \"yes\""),
        same("/refuse_expired", "1", "must be true or false, not 1"),
        same("/sslCname", "5", "must be a string, not 5"),
        same("/workers", "-1", "from 0 to 1024, not -1"),
        same("/workers", "1025", "from 0 to 1024, not 1025"),
        same("/workers", "2.0", "must be an integer"),
        same("/workers", "18446744073709551615", "must be an integer from 0 to 1024"),
        same("/workers", "null", "not null"),
        same("/user", "\"\"", "is not a user"),
        same("/user", "\"-x\"", "is not a user"),
        same("/user", "\"a b\"", "is not a user"),
        same("/user", "\"a:\"", "is not a user"),
        same("/user", "\"a:b:c\"", "is not a user"),
        same("/listen", "[]", "must be an object, not a list"),
        same("/listen/https", "\"[::]:8443\"", "must be a list of strings"),
        same("/listen/public_https_port", "0", "from 1 to 65535"),
        same("/listen/public_https_port", "65536", "from 1 to 65535"),
        same("/admin", "null", "must be an object"),
        same("/admin/listen", "9001", "must be a string or null, not 9001"),
        same("/limits/max_connections", "0", "from 1 to 1000000"),
        same("/limits/max_connections", "1000001", "from 1 to 1000000"),
        same("/limits/max_connections_per_ip", "-1", "from 0 to 1000000"),
        same("/limits/max_handshakes", "0", "from 1 to 1000000"),
        same("/limits/max_requests_per_connection", "-1", "from 0 to 1000000000"),
        same("/limits/max_memory_bytes", "67108863", "from 67108864 to 1125899906842624 bytes, or null"),
        same("/limits/allow", "\"10.0.0.0/8\"", "must be a list of strings"),
        same("/listen/proxy_protocol", "\"optional\"", "off"),
        same("/listen/proxy_protocol", "\"required\"", "name the load balancers there"),
        same("/limits/max_header_bytes", "1023", "from 1024 to 1048576 bytes"),
        same("/limits/max_header_bytes", "1048577", "from 1024 to 1048576 bytes"),
        same("/limits/max_headers", "0", "from 1 to 1000"),
        same("/limits/max_headers", "1001", "from 1 to 1000"),
        same("/limits/max_request_bytes", "0", "from 1 to 1099511627776 bytes"),
        same("/limits/max_request_bytes", "1099511627777", "from 1 to 1099511627776 bytes"),
        same("/limits/min_body_rate", "-1", "from 0 to 1073741824 bytes/s"),
        same("/limits/min_body_rate", "1073741825", "from 0 to 1073741824 bytes/s"),
        same("/limits/min_reply_rate", "-1", "from 0 to 1073741824 bytes/s"),
        same("/limits/min_reply_rate", "1073741825", "from 0 to 1073741824 bytes/s"),
        same("/timeouts/handshake_ms", "0", "from 1 to 86400000 ms"),
        same("/timeouts/header_ms", "86400001", "from 1 to 86400000 ms"),
        same("/timeouts/body_idle_ms", "0", "from 1 to 86400000 ms"),
        same("/timeouts/keep_alive_ms", "0", "from 1 to 86400000 ms"),
        same("/timeouts/connect_ms", "0", "from 1 to 86400000 ms"),
        same("/timeouts/stream_idle_ms", "0", "from 1 to 86400000 ms"),
        same("/timeouts/drain_grace_ms", "-1", "from 0 to 86400000 ms"),
        same("/timeouts/drain_ms", "0", "from 1 to 86400000 ms"),
        same("/access_log", "\"-\"", "must be an object or null"),
        same("/dns/min_ttl_s", "0", "from 1 to 86400 s"),
        row{"/dns", R"({"min_ttl_s": 61})", "/dns/min_ttl_s", "is more than max_ttl_s, which is 60"},
        row{"/dns", R"({"servers": ["dns"]})", "/dns/servers/0", "is not a DNS server"},
        row{blue + "/replicas", R"(["dns://a"])", blue + "/replicas/0", "has no port"},
        row{blue + "/replicas", "[\"http+unix:///" + std::string(107, 's') + "\"]", blue + "/replicas/0",
            "a Unix socket's has at most 107"},
        row{blue + "/replicas", R"(["dns://a:1", "http://a:1", "dns://A:1"])", blue + "/replicas/2",
            "is the same replica as " + blue + "/replicas/0"},
        same("/access_log/path", "\"\"", "is not a place for a log"),
        same("/access_log/path", "\"syslog:\"", "names no syslog daemon"),
        same("/access_log/path", "\"syslog:logs.contoso.com:514\"", "names no syslog daemon"),
        same("/access_log/path", "\"syslog:10.0.0.9\"", "names no syslog daemon"),
        same("/access_log/path", "\"syslog:10.0.0.9:0\"", "names no syslog daemon"),
        same("/access_log/path", "\"syslog:run/log.sock\"", "names no syslog daemon"),
        same("/access_log/path", "\"syslog:/" + std::string(107, 's') + "\"", "names no syslog daemon"),
        same("/access_log/format", "\"csv\"", "not the string \"csv\""),
        same("/access_log/format", "7", "\"json\""),
        same("/access_log/sample_successes", "0", "from 1 to 1000000"),
        same("/access_log/sample_successes", "0.1", "must be an integer"),
        same("/access_log/slow_ms", "0", "from 1 to 86400000 ms"),
        same("/access_log/facility", "\"kern\"", "not the string \"kern\""),
        same("/log_level", "\"trace\"", "not the string \"trace\""),
        same("/log_level", "null", "not null"),
        same(blue + "/request_settings/request_timeout_ms", "0", "from 1 to 86400000 ms"),
        same(blue + "/request_settings/request_timeout_ms", "null", "not null"),
        same(blue + "/request_settings/total_timeout_ms", "0", "or null, not 0"),
        // unknown keys
        same("/sslCertPemFil", "\"x\"", "did you mean \"sslCertPemFile\"?"),
        same("/sslcertpemfile", "\"x\"", "did you mean \"sslCertPemFile\"?"),
        same("/sslcname", "\"x\"", "did you mean \"sslCname\"?"),
        same("/limits/max_heders", "1", "did you mean \"max_headers\"?"),
        same("/services/iris/host", "[]", "did you mean \"hosts\"?"),
        same(blue + "/replica", "[]", "did you mean \"replicas\"?"),
        same("/serv1ce", "{}", "did you mean \"services\"?"),         // two letters away
        same("/serv1", "{}", "is not a key of scoregate: remove it"), // four
        same("/limits/max_hdrs", "1", "remove it"),                   // three
        same("/compression", "true", "is not a key of scoregate: remove it"),
        row{"/a~1b~0c", "1", "/a~1b~0c", "is not a key of scoregate"},
        // names
        row{"/services/1iris", valid()["services"]["iris"].dump(), "/services/1iris", "a letter first"},
        row{"/services/my_iris", valid()["services"]["iris"].dump(), "/services/my_iris", "is not a name"},
        row{"/services/" + std::string(64, 'a'), valid()["services"]["iris"].dump(),
            "/services/" + std::string(64, 'a'), "1 to 63"},
        same("/services/wine", "5", "must be an object, not 5"),
        // services and deployments
        same("/services", "", "is missing: it must hold at least one service"),
        same("/services", "{}", "must hold at least one service"),
        same("/services", "[]", "must be an object, not a list"),
        same("/default_service", "\"wine\"", "\"wine\" is not one of the services"),
        same("/default_service", "\"Iris\"", "is not one of the services: name one of them, or write null"),
        same("/default_service", "\"\"", "is not a name"),
        same("/default_service", "[]", "must be a string or null"),
        same("/services/iris/deployments", "", "must hold 1 to 20 deployments"),
        same("/services/iris/deployments", "{}", "must hold 1 to 20 deployments"),
        same(blue + "/replicas", "", "is missing: give a list with at least one"),
        same(blue + "/replicas", "[]", "is empty: give at least one"),
        same(blue + "/replicas", "\"http://a\"", "must be a list of strings"),
        row{blue + "/replicas", R"(["http://a", 5])", blue + "/replicas/1", "must be a string"},
        row{blue + "/replicas", R"(["http://a", "http://b", "http://A:80"])", blue + "/replicas/2",
            "is the same replica as " + blue + "/replicas/0"},
        row{blue + "/replicas", R"(["tcp://a", "http://b", "http://b"])", blue + "/replicas/0", "is not a replica"},
        // hosts
        row{"/services/iris/hosts", R"(["a.b", "A.B"])", "/services/iris/hosts/1", "taken by /services/iris/hosts/0"},
        row{"/services/iris/hosts", R"(["a.b:443"])", "/services/iris/hosts/0", "without scheme, port"},
        row{"/admin/hosts", R"(["*.b"])", "/admin/hosts/0", "wildcard"},
        // addresses
        row{"/listen/https", R"(["localhost:1"])", "/listen/https/0", "write an IP address and a port"},
        row{"/listen/http", R"(["127.0.0.1:65536"])", "/listen/http/0", "from 0 to 65535"},
        row{"/listen/https", "[]", "/listen/https", "because allowInsecureConnections is false"},
        row{"/listen/https", R"(["[::]:8080"])", "/listen/http/0", "collides with [::]:8080 of /listen/https/0"},
        row{"/listen/https", R"(["127.0.0.1:1", "127.0.0.1:1"])", "/listen/https/1", "give one of them another port"},
        row{"/listen/https", R"(["0.0.0.0:1", "127.0.0.1:1"])", "/listen/https/1", "collides"},
        row{"/listen/https", R"(["127.0.0.1:1", "[::]:1"])", "/listen/https/1", "collides"},
        row{"/listen/https", R"(["[::1]:1", "[0:0::1]:1"])", "/listen/https/1", "collides"},
        row{"/listen/https", R"(["127.0.0.1:9001"])", "/admin/listen", "of /listen/https/0"},
    }));
    CAPTURE(one.at, one.value);
    const written file{changed(one.at, one.value)};
    const auto result = file.load();
    CHECK_FALSE(result.value);
    CAPTURE(lines(result.problems));
    auto expected = one.pointer + "\n";
    if (one.fragment == "is not a replica") expected += blue + "/replicas/2\n"; // the duplicate is seen behind it
    REQUIRE(pointers(result.problems) == expected);
    CHECK(result.problems[0].file == file.file());
    CHECK_THAT(result.problems[0].message, Catch::Contains(one.fragment));
}

TEST_CASE("a file that is nested without end is refused as a whole, at no cost") {
    const std::string opening = GENERATE("[", R"({"a":)");
    std::string text;
    for (int i = 0; i < 20000; ++i) text += opening;
    const auto unfinished = written{text}.load();
    REQUIRE_FALSE(unfinished.problems.empty());
    CHECK(unfinished.problems.back().message == "is nested more than 32 levels deep, which no key needs");
    const auto whole = written{opening == "[" ? std::string(40, '[') + std::string(40, ']')
                                              : R"({"services":)" + std::string(40, '[') + std::string(40, ']') + "}"}
                           .load();
    REQUIRE(whole.problems.size() == 1);
    CHECK(whole.problems[0].message == "is nested more than 32 levels deep, which no key needs");
}

TEST_CASE("one service may be the default") {
    CHECK_FALSE(written{valid().dump()}.load().value.value().default_service);
    CHECK_FALSE(written{changed("/default_service", "null")}.load().value.value().default_service);
    const written file{changed("/default_service", "\"iris\"")};
    CHECK(file.load().value.value().default_service == "iris");
    CHECK(pointers(file.load_with({"default_service=rose"}).problems) == "/default_service\n");
}

TEST_CASE("a host leads to one service") {
    auto tree = valid();
    tree["services"]["iris"]["hosts"] = {"a.contoso.com", "shared.contoso.com"};
    tree["services"]["wine"] = valid()["services"]["iris"];
    tree["services"]["wine"]["hosts"] = {"Shared.contoso.com"};
    const auto result = written{tree.dump()}.load();
    REQUIRE(pointers(result.problems) == "/services/wine/hosts/0\n");
    CHECK_THAT(result.problems[0].message, Catch::Contains("taken by /services/iris/hosts/1"));
}

TEST_CASE("port 0 never collides") {
    const auto result = written{changed("/listen", R"({"https": ["127.0.0.1:0", "127.0.0.1:0"], "http": ["[::]:0"]})")};
    CHECK(lines(result.load().problems) == texts{});
}

TEST_CASE("the same port on different addresses does not collide") {
    const written file{changed("/listen", R"({"https": ["127.0.0.1:1", "127.0.0.2:1", "[::1]:1"], "http": []})")};
    CHECK(lines(file.load().problems) == texts{});
}

TEST_CASE("all problems come at once, in the order of the file") {
    const written file{R"({
      "services": { "wine": { "auth_mode": "none", "deployments": { "blue": { "replicas": ["tcp://x"] } } },
                    "iris": { "deployments": {}, "hosts": ["a b"] } },
      "workers": -1,
      "refuse_expird": true,
      "admin": { "token_file": 1, "listen": "x" },
      "default_service": 1 })"};
    CHECK(pointers(file.load().problems) == "/sslCertPemFile\n"
                                            "/services/wine/deployments/blue/replicas/0\n"
                                            "/services/iris/keys\n"
                                            "/services/iris/deployments\n"
                                            "/services/iris/hosts/0\n"
                                            "/workers\n"
                                            "/refuse_expird\n"
                                            "/admin/token_file\n"
                                            "/admin/listen\n"
                                            "/default_service\n");
}

TEST_CASE("a key given twice is refused wherever it is") {
    const written file{R"({ "allowInsecureConnections": true, "workers": 1, "workers": 1, "workers": 1,
      "services": { "iris": { "auth_mode": "none", "deployments": { "blue": { "replicas": ["http://a", "http://b"] } } },
                    "i/s": { }, "i/s": { "auth_mode": "none", "deployments": { "blue": { "replicas": ["http://a"] } } } },
      "admin": { "hosts": [], "listen": null, "hosts": [] } })"};
    const auto result = file.load();
    CAPTURE(lines(result.problems));
    REQUIRE(pointers(result.problems) == "/workers\n/services/i~1s\n/services/i~1s\n/admin/hosts\n");
    CHECK(result.problems[0].message == "is given more than once: keep one of them");
    CHECK(result.problems[3].message == "is given more than once: keep one of them");
}

TEST_CASE("the same key in different objects is not given twice") {
    CHECK(written{changed("/admin", R"({"listen": "127.0.0.1:1", "hosts": []})")}.load().value);
}

TEST_CASE("a syntax error is told with line and column") {
    struct row {
        const char* text;
        const char* fragment;
    };
    const auto one = GENERATE(values<row>({
        {"{\n  \"workers\": 1,\n}", "line 3, column 1"},
        {"", "line 1, column 1"},
        {"{ /* never closed", "comment"},
        {"{} {}", "line 1, column 4"},
        {"{ \"sslCname\": \"\xff\" }", "line 1, column 16"},
        {"{ 'workers': 1 }", "line 1, column 3"},
        {"{ \"workers\": NaN }", "line 1, column 14"},
    }));
    CAPTURE(one.text);
    const written file{one.text};
    const auto result = file.load();
    CHECK_FALSE(result.value);
    REQUIRE(result.problems.size() == 1);
    CHECK(result.problems[0].file == file.file());
    CHECK(result.problems[0].pointer.empty());
    CHECK_THAT(result.problems[0].message, Catch::StartsWith("is not JSON: parse error at line ") &&
                                               Catch::Contains(one.fragment) && Catch::Contains("comma"));
}

// It may be the value of a probe's header field, which is a key.
TEST_CASE("a syntax error does not show what stands there") {
    for (const auto* const text : {"{ \"x\": \"hunter2\n\" }", "{ \"x\": \"hunter2", "{ \"x\": hunter2 }"}) {
        const auto problems = written{text}.load().problems;
        REQUIRE(problems.size() == 1);
        CHECK_THAT(problems[0].message, !Catch::Contains("hunter"));
    }
}

TEST_CASE("a number beyond all bounds is a problem like others") {
    const auto problems = written{changed("/workers", "1").replace(0, 1, "{\"x\": 1e999, ")}.load().problems;
    REQUIRE(problems.size() == 1);
    CHECK_THAT(problems[0].message, Catch::StartsWith("is not JSON: number overflow"));
}

TEST_CASE("a file that is no object or no file at all is refused") {
    CHECK(lines(written{"[]"}.load().problems).size() == 1);
    const written file{"{}"};
    const auto absent = load({file.file() + "x", {}});
    REQUIRE(absent.problems.size() == 1);
    CHECK(to_string(absent.problems[0]) == file.file() + "x: cannot be read (No such file or directory): name a "
                                                         "readable configuration file with --config");
    const auto folder = load({file.folder().string(), {}});
    REQUIRE(folder.problems.size() == 1);
    CHECK_THAT(folder.problems[0].message, Catch::Contains("Is a directory"));
}
