//! What this site says of itself for preflight: its hosts, its VMs, and whom of the other workers it reaches. Reads only.

use super::Site;
use super::observe::in_time;
use crate::error::SiteError;
use futures::future::join_all;
use muster_core::preflight::survey::PeerSurvey;
use muster_proto::convert::{SurveyEntry, SurveyOrder};

impl Site {
    /// What is asked for; the site itself first, then its hosts, VMs and processors.
    ///
    /// # Errors
    /// The site doesn't work yet, or its hypervisors can't be reached.
    pub async fn survey(&self, order: SurveyOrder) -> Result<Vec<SurveyEntry>, SiteError> {
        self.must_work()?;
        let (survey, peers) = futures::join!(in_time(self.hypervisor.survey(&order.hosts)), self.peers());
        let survey = survey?;
        let mut entries = vec![SurveyEntry::Site { licences: survey.licences, peers }];
        entries.extend(survey.hosts.into_iter().map(|host| SurveyEntry::Host(Box::new(host))));
        if !order.vms.is_empty() {
            let needs = in_time(self.hypervisor.needs(&order.vms, &order.hosts)).await?;
            entries.extend(needs.into_iter().map(|needs| SurveyEntry::Needs(Box::new(needs))));
        }
        if !order.processors.is_empty() {
            let asked = in_time(self.hypervisor.processors(&order.processors, &order.hosts)).await?;
            entries.extend(asked.into_iter().map(|said| SurveyEntry::Processor {
                processor: said.processor,
                host: said.host,
                fit: said.fit,
            }));
        }
        Ok(entries)
    }

    /// The other sites, each asked a moment ago.
    async fn peers(&self) -> Vec<PeerSurvey> {
        let asked = self.peers.sites().map(|site| async move {
            let proven = self.prove_path(site).await;
            PeerSurvey { site: site.clone(), trouble: proven.err().map(|error| error.to_string()) }
        });
        join_all(asked).await
    }
}
