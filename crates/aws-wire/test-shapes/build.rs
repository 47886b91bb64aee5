fn main() {
    for service in ["eks", "lambda", "route53", "sqs"] {
        aws_shapes_codegen::build_from(&format!("../tests/models/{service}.json"), &format!("{service}.rs"));
    }
}
