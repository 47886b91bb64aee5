//! Queries as a client asks them: started, polled, described, stopped.

use aws_shapes_logs as api;

use super::calls;
use crate::services::logs::tests::{Fixture, NOW, text};

/// Twelve web requests in two streams, one a minute, newest last.
async fn fixture() -> Fixture {
    let fixture = Fixture::new().await;
    fixture.group("web").await;
    for (stream, offset) in [("a", 0), ("b", 1)] {
        fixture.stream("web", stream).await;
        for number in 0..6i64 {
            let minute = number * 2 + offset;
            let status = if minute % 3 == 0 { 500 } else { 200 };
            let line = format!(
                r#"{{"path":"/p{}","status":{status},"ms":{},"user":{{"name":"u{}"}},"note":"GET /p took {minute}ms"}}"#,
                minute % 2,
                minute * 10,
                minute % 4,
            );
            fixture.put("web", stream, &[(NOW - (20 - minute) * 60_000, &line)]).await.unwrap();
        }
    }
    fixture
}

async fn start(fixture: &Fixture, query: &str) -> Result<String, crate::gateway::ApiError> {
    let input = api::StartQueryRequest {
        log_group_name: text("web"),
        query_string: text(query),
        start_time: Some(NOW / 1000 - 3600),
        end_time: Some(NOW / 1000),
        ..Default::default()
    };
    Ok(calls::start(fixture.call(), input).await?.query_id.unwrap())
}

async fn complete(fixture: &Fixture, id: &str) -> api::GetQueryResultsResponse {
    for _ in 0..100 {
        let input = api::GetQueryResultsRequest { query_id: text(id), ..Default::default() };
        let answer = calls::results(fixture.call(), input).await.unwrap();
        if answer.status != Some(api::QueryStatus::Running) {
            return answer;
        }
    }
    panic!("the query does not end");
}

/// The rows, each as `name=value` without the pointer.
async fn rows(fixture: &Fixture, query: &str) -> Vec<String> {
    let id = start(fixture, query).await.unwrap_or_else(|error| panic!("{query}: {error}"));
    let answer = complete(fixture, &id).await;
    assert_eq!(answer.status, Some(api::QueryStatus::Complete), "{query}");
    let cell = |cell: api::ResultField| format!("{}={}", cell.field.unwrap(), cell.value.unwrap());
    let row = |row: Vec<api::ResultField>| {
        let cells = row.into_iter().map(cell).filter(|cell| !cell.starts_with("@ptr="));
        cells.collect::<Vec<_>>().join(" ")
    };
    answer.results.unwrap().into_iter().map(row).collect()
}

#[tokio::test]
async fn rows_come_newest_first_unless_sorted() {
    let fixture = fixture().await;
    assert_eq!(rows(&fixture, "fields ms | limit 3").await, ["ms=110", "ms=100", "ms=90"]);
    assert_eq!(rows(&fixture, "fields ms | sort @timestamp asc | limit 2").await, ["ms=0", "ms=10"]);
    assert_eq!(
        rows(&fixture, "fields user.name as who, ms | sort who asc, ms desc | limit 4").await,
        ["who=u0 ms=80", "who=u0 ms=40", "who=u0 ms=0", "who=u1 ms=90"]
    );
    assert_eq!(rows(&fixture, "limit 1").await.len(), 1);
    assert_eq!(
        rows(&fixture, "fields @timestamp, @logStream, @log | limit 1").await,
        ["@timestamp=2024-10-04 11:51:00.000 @logStream=b @log=000000000000:web"]
    );
}

#[tokio::test]
async fn filters_parses_and_displays() {
    let fixture = fixture().await;
    assert_eq!(
        rows(&fixture, "filter status = 500 and ms > 0 | display ms").await,
        ["ms=90", "ms=60", "ms=30"]
    );
    assert_eq!(
        rows(&fixture, "parse note 'GET * took *ms' as page, took | filter took > 9 | fields page, took")
            .await,
        ["page=/p took=11", "page=/p took=10"]
    );
    assert_eq!(
        rows(&fixture, r"parse note /took (?<took>\d+)ms/ | fields took * 2 as twice | limit 1").await,
        ["twice=22"]
    );
    assert_eq!(rows(&fixture, "fields path | dedup path | sort path asc").await, ["path=/p0", "path=/p1"]);
    assert_eq!(rows(&fixture, "filter missing = 1").await, [""; 0]);
}

#[tokio::test]
async fn stats_add_up() {
    let fixture = fixture().await;
    assert_eq!(
        rows(
            &fixture,
            "stats count(*) as n, sum(ms), avg(ms), min(ms), max(ms), pct(ms, 50), count_distinct(path)"
        )
        .await,
        ["n=12 sum(ms)=660 avg(ms)=55 min(ms)=0 max(ms)=110 pct(ms, 50)=50 count_distinct(path)=2"]
    );
    assert_eq!(
        rows(&fixture, "stats count(*) as n by status | sort n asc").await,
        ["status=500 n=4", "status=200 n=8"]
    );
    assert_eq!(
        rows(&fixture, "filter ispresent(ms) | stats count(*) as n by bin(5m) | limit 2").await,
        ["bin(5m)=2024-10-04 11:50:00.000 n=2", "bin(5m)=2024-10-04 11:45:00.000 n=5"]
    );
    assert_eq!(
        rows(&fixture, "stats max(ms) as top by path, status | filter top > 80 | stats count(*) as groups")
            .await,
        ["groups=3"]
    );
    assert_eq!(rows(&fixture, "stats earliest(ms) as e, latest(ms) as l").await, ["e=0 l=110"]);
}

#[tokio::test]
async fn pointers_lead_to_records() {
    let fixture = fixture().await;
    let id = start(&fixture, "filter ms = 70").await.unwrap();
    let answer = complete(&fixture, &id).await;
    let statistics = answer.statistics.unwrap();
    assert_eq!((statistics.records_matched, statistics.records_scanned), (Some(1.0), Some(12.0)));
    let row = answer.results.unwrap().remove(0);
    let pointer = row.into_iter().find(|cell| cell.field.as_deref() == Some("@ptr")).unwrap().value;
    let input = api::GetLogRecordRequest { log_record_pointer: pointer, ..Default::default() };
    let record = calls::record(fixture.call(), input).await.unwrap().log_record.unwrap();
    assert_eq!((&*record["ms"], &*record["user.name"], &*record["@logStream"]), ("70", "u3", "b"));
    let forged = api::GetLogRecordRequest { log_record_pointer: text("AAAA"), ..Default::default() };
    assert_eq!(calls::record(fixture.call(), forged).await.unwrap_err().code, "InvalidParameterException");
}

#[tokio::test]
async fn a_query_is_known_after_its_result_is_gone() {
    let fixture = fixture().await;
    let id = start(&fixture, "stats count(*) as n").await.unwrap();
    complete(&fixture, &id).await;
    let restarted = fixture.restarted();
    let describe = async |status| {
        let input = api::DescribeQueriesRequest { log_group_name: text("web"), status, ..Default::default() };
        calls::describe(restarted.call(), input).await.unwrap().queries.unwrap().len()
    };
    assert_eq!(describe(None).await, 1);
    assert_eq!(describe(Some(api::QueryStatus::Complete)).await, 1);
    assert_eq!(describe(Some(api::QueryStatus::Running)).await, 0);
    assert_eq!(complete(&restarted, &id).await.results.unwrap().len(), 1);
    let stopped = calls::stop(restarted.call(), api::StopQueryRequest { query_id: text(&id) }).await;
    assert_eq!(stopped.unwrap_err().code, "InvalidParameterException");
    let later = vocabulary::Timestamp::from_millis(NOW + 8 * 86_400_000);
    calls::forget(restarted.logs(), later).await.unwrap();
    assert_eq!(describe(None).await, 0);
}

#[tokio::test]
async fn results_can_be_paged() {
    let fixture = fixture().await;
    let id = start(&fixture, "fields ms").await.unwrap();
    complete(&fixture, &id).await;
    let (mut seen, mut token) = (0, None);
    loop {
        let input =
            api::GetQueryResultsRequest { query_id: text(&id), max_items: Some(5), next_token: token };
        let page = calls::results(fixture.call(), input).await.unwrap();
        seen += page.results.unwrap().len();
        token = page.next_token;
        if token.is_none() {
            break;
        }
    }
    assert_eq!(seen, 12);
}

#[tokio::test]
async fn requests_are_checked() {
    let fixture = fixture().await;
    let error = start(&fixture, "test").await.unwrap_err();
    assert_eq!((&*error.code, &*error.message), ("MalformedQueryException", "unexpected symbol found test"));
    assert!(error.fields.is_some());
    assert_eq!(
        start(&fixture, "limit 5 | stats count(*)").await.unwrap_err().code,
        "MalformedQueryException"
    );
    let input = api::StartQueryRequest {
        log_group_name: text("nope"),
        query_string: text("limit 1"),
        ..Default::default()
    };
    assert_eq!(calls::start(fixture.call(), input).await.unwrap_err().code, "ResourceNotFoundException");
    let input = api::GetQueryResultsRequest { query_id: text("nope"), ..Default::default() };
    assert_eq!(calls::results(fixture.call(), input).await.unwrap_err().code, "ResourceNotFoundException");
}

#[tokio::test]
async fn fields_are_discovered() {
    let fixture = fixture().await;
    let input = api::GetLogGroupFieldsRequest { log_group_name: text("web"), ..Default::default() };
    let fields = calls::fields_of_group(fixture.call(), input).await.unwrap().log_group_fields.unwrap();
    let share = |name: &str| fields.iter().find(|field| field.name.as_deref() == Some(name)).unwrap().percent;
    assert_eq!((share("status"), share("user.name"), share("@message")), (Some(100), Some(100), Some(100)));
}
